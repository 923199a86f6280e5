package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"strings"

	"kovra.dev/chatops/internal/gitlabsim"
)

// The OAuth application that Kovra is in the simulated GitLab.
const (
	oauthID     = "kovra-demo"
	oauthSecret = "demo-oauth-secret" //nolint:gosec // made up, for a simulated peer
)

// oauth registers the application and gives the settings that go with it. Logs stay open to
// whoever has their link: a visitor should not have to sign in to look at one.
func (w *world) oauth(public string) []string {
	w.gitlab.AddApplication(gitlabsim.Application{
		ClientID: oauthID, Secret: oauthSecret, Name: "Kovra", RedirectURIs: []string{public + "/oauth/gitlab/callback"},
		Scopes: []string{"api", "read_api"},
	})
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return []string{
		"KOVRA_GITLAB_OAUTH_CLIENT_ID=" + oauthID, "KOVRA_GITLAB_OAUTH_CLIENT_SECRET=" + oauthSecret,
		"KOVRA_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString(key), "KOVRA_LOG_ACCESS=link",
	}
}

// introduce connects Alice, as whom a visitor begins, with her GitLab account. The others
// are asked to do so when they want to do something.
func (w *world) introduce(ctx context.Context) {
	if err := w.connect(ctx, alice, "alice"); err != nil && ctx.Err() == nil {
		w.log.ErrorContext(ctx, "alice is not connected", "err", err)
	}
}

// connect types the command, presses the button and signs in, as a person and their browser do.
func (w *world) connect(ctx context.Context, user, login string) error {
	if err := w.until(ctx, func() bool {
		seen, err := w.slack.Slash(ctx, user, "D"+user, "/kovra connect")
		return err == nil && seen.Error == "" // Kovra may still be starting
	}); err != nil {
		return fmt.Errorf("type the command: %w", err)
	}
	var address string
	if err := w.until(ctx, func() bool {
		address = w.startOf(user)
		return address != ""
	}); err != nil {
		return fmt.Errorf("wait for the button: %w", err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return fmt.Errorf("open a browser: %w", err)
	}
	browser := http.Client{Jar: jar, Timeout: hookTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	to, err := visit(ctx, &browser, address)
	if err != nil {
		return err
	}
	back, err := w.gitlab.Authorize(ctx, to, login)
	if err != nil {
		return fmt.Errorf("sign in at GitLab: %w", err)
	}
	asked := len(w.slack.Ephemerals(user))
	if _, err = visit(ctx, &browser, back); err != nil {
		return err
	}
	if err := w.until(ctx, func() bool { return len(w.slack.Ephemerals(user)) > asked }); err != nil {
		return fmt.Errorf("wait for the word that it is done: %w", err)
	}
	return nil
}

// startOf is where the newest button leads with which a person can connect; "": nowhere yet.
func (w *world) startOf(user string) string {
	address := ""
	for _, m := range w.slack.Ephemerals(user) {
		for _, b := range m.Tree {
			for _, e := range elements(b) {
				if strings.Contains(e.URL, "/oauth/gitlab/start?") {
					address = e.URL
				}
			}
		}
	}
	return address
}

// visit opens a page and says where it sends the browser to; "": nowhere.
func visit(ctx context.Context, browser *http.Client, address string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", fmt.Errorf("make the request: %w", err)
	}
	resp, err := browser.Do(req)
	if err != nil {
		return "", fmt.Errorf("open the page: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusBadRequest {
		return "", fmt.Errorf("the page answers with status %d", resp.StatusCode)
	}
	return resp.Header.Get("Location"), nil
}
