package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// TestManyChannelsCostFewCalls: an ordinary member types a command where three hundred channels are subscribed, each to an app of its own.
func TestManyChannelsCostFewCalls(t *testing.T) {
	o := newOutside()
	var a *App
	o.slack = slacksim.New(slacksim.Options{
		BaseURL: slackURL, RequestURL: "http://kovra.test",
		Transport: slacksim.HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.Handler().ServeHTTP(w, r) })),
	})
	a = built(t, o.options())
	o.slack.AddUser(slacksim.User{ID: "UMIA", Name: "mia"})
	err := a.DB().Update(t.Context(), func(tx *storage.Tx) error {
		for n := range 300 {
			channel, app := fmt.Sprintf("C%03d", n), fmt.Sprintf("app-%03d", n)
			members := []string{"UALICE", slacksim.BotUserID}
			if n == 250 {
				app, members = "web", append(members, "UMIA")
			}
			o.slack.AddChannel(slacksim.Channel{ID: channel, Name: strings.ToLower(channel), Private: n%2 == 0, Members: members})
			if err := tx.SaveApp(kovra.App{Name: app}); err != nil {
				return err
			}
			if err := tx.SaveSubscription(kovra.Subscription{App: app, Channel: channel}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	methods := []string{"auth.test", "users.info", "users.conversations", "conversations.members"}
	for _, tt := range []struct {
		line, want string
		calls      []int // of those methods, so far
	}{
		{"/pipeline web", "web", []int{1, 1, 1, 0}},
		{"/kovra apps", "web", []int{1, 1, 1, 0}},
		{"/kovra app app-001", "There is no app", []int{1, 2, 1, 1}}, // who is in its channel, and who could help
	} {
		seen, err := o.slack.Slash(t.Context(), "UMIA", "C250", tt.line)
		if err != nil || !strings.Contains(seen.Text(), tt.want) || strings.Contains(seen.Text(), "app-002") {
			t.Errorf("%s: %q, %v", tt.line, seen.Text(), err)
		}
		for n, method := range methods {
			if got := o.slack.CallCount(method); got != tt.calls[n] {
				t.Errorf("%s: %s was called %d times, want %d", tt.line, method, got, tt.calls[n])
			}
		}
	}
}
