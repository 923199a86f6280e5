package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/slacksim"
)

// webCommands send plain requests to the program, good and bad ones.
var webCommands = map[string]storyCommand{
	"get":   webGet,
	"hook":  webHook,
	"slack": webSlack,
	"large": webLarge,

	"connect": webConnect,
	"visit":   webVisit,
	"agree":   webAgree,
}

// request sends to the program itself, not to its public address, and compares the status.
func (s *story) request(c *scriptLine, method, path string, h http.Header, body []byte, status string) error {
	want, err := strconv.Atoi(status)
	if err != nil {
		return err
	}
	var answer bytes.Buffer
	got, err := s.send(s.ctx, method, "http://"+s.address()+path, h, bytes.NewReader(body), &answer)
	if err != nil {
		return err
	}
	c.out(answer.String())
	if got != want {
		return fmt.Errorf("it answered %d: %s", got, answer.String())
	}
	return nil
}

// web get PATH STATUS
func webGet(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	return s.request(c, http.MethodGet, c.args[0], nil, nil, c.args[1])
}

// web hook FILE STATUS [NAME:VALUE...] posts a file as a webhook of GitLab.
func webHook(s *story, c *scriptLine) error {
	if err := c.want(2, -1); err != nil {
		return err
	}
	h := http.Header{"Content-Type": {"application/json"}}
	for _, word := range c.args[2:] {
		name, value, ok := strings.Cut(word, ":")
		if !ok {
			return fmt.Errorf("%q is not NAME:VALUE", word)
		}
		h.Set(name, strings.TrimSpace(value))
	}
	return s.request(c, http.MethodPost, "/webhooks/gitlab", h, []byte(c.ts.ReadFile(c.args[0])), c.args[1])
}

// web large PATH BYTES STATUS [NAME:VALUE...] posts so many bytes.
func webLarge(s *story, c *scriptLine) error {
	if err := c.want(3, -1); err != nil {
		return err
	}
	n, err := c.number(1)
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte("x"), n)
	h := s.slack.Sign(body, time.Now())
	h.Set("X-Gitlab-Token", storySecret)
	return s.request(c, http.MethodPost, c.args[0], h, body, c.args[2])
}

// web slack AGE STATUS [unsigned|forged] posts the command /kovra help as Slack does, signed so long ago.
func webSlack(s *story, c *scriptLine) error {
	if err := c.want(2, 3); err != nil {
		return err
	}
	age, err := time.ParseDuration(c.args[0])
	if err != nil {
		return err
	}
	form := url.Values{
		"command": {"/kovra"}, "text": {"help"}, "team_id": {slacksim.TeamID}, "user_id": {userID("alice")}, "user_name": {"alice"},
		"channel_id": {channelID("deploys")}, "channel_name": {"deploys"}, "api_app_id": {slacksim.AppID}, "trigger_id": {"1.2.3"},
	}
	body := []byte(form.Encode())
	h := s.slack.Sign(body, time.Now().Add(-age))
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	switch {
	case len(c.args) < 3:
	case c.args[2] == "unsigned":
		h.Del("X-Slack-Signature")
	case c.args[2] == "forged":
		body = append(body, "&text=link"...)
	}
	return s.request(c, http.MethodPost, "/slack/commands", h, body, c.args[1])
}
