package e2e

import (
	"fmt"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
)

// gitlab hook PATH off|rest|delete|mute|secret does to our webhook of a project what GitLab or a Maintainer does: switch it off
// for good or for an hour, delete it, take most events away, give it another secret.
func gitlabHook(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	hooks := s.lab.Hooks(id)
	if len(hooks) == 0 {
		return fmt.Errorf("%s has no webhook", c.args[0])
	}
	hook := hooks[0].ID
	switch c.args[1] {
	case "secret":
		return s.lab.EditHook(hook, func(k *gitlabsim.Hook) { k.Token = "another" })
	case "off":
		return s.lab.SwitchOffHook(hook)
	case "rest":
		return s.lab.RestHook(hook, time.Now().Add(time.Hour))
	case "delete":
		return s.lab.DeleteHook(hook)
	case "mute":
		return s.lab.EditHook(hook, func(k *gitlabsim.Hook) { k.Events = map[string]bool{"push_events": true} })
	default:
		return fmt.Errorf("%q cannot be done to a webhook", c.args[1])
	}
}

// gitlab hookstatus PATH prints GitLab's word on each webhook of a project.
func gitlabHookStatus(s *story, c *scriptLine) error {
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	for _, k := range s.lab.Hooks(id) {
		c.out(k.AlertStatus)
	}
	return nil
}

// gitlab bottoken DAYS|revoked|new says when the bot's own token ends: so many days from today, at midnight UTC. Or it ends now, or the
// bot gets another one, glpat-new.
func gitlabBotToken(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	const token = "glpat-sim"
	switch c.args[0] {
	case "new":
		s.lab.AddToken(gitlabsim.BotUsername, "glpat-new")
		return nil
	case "revoked":
		s.lab.RevokeToken(token)
		return nil
	}
	days, err := c.number(0)
	s.lab.DescribeToken(token, gitlabsim.Token{Name: "kovra", Expires: time.Now().UTC().AddDate(0, 0, days)})
	return err
}

// directChannel is the channel in which the bot and somebody talk alone; "": they have not yet.
func (s *story) directChannel(who string) string {
	for _, ch := range s.slack.Snapshot(who).Channels {
		if ch.Direct {
			return ch.ID
		}
	}
	return ""
}

// place is the id of a channel; "direct" is the one in which who talks with the bot.
func (s *story) place(who, name string) string {
	if name == "direct" {
		return s.directChannel(who)
	}
	return channelID(name)
}
