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
	for line, want := range map[string]string{"/pipeline web": "web", "/kovra apps": "web", "/kovra app app-001": "There is no app"} {
		seen, err := o.slack.Slash(t.Context(), "UMIA", "C250", line)
		if err != nil || !strings.Contains(seen.Text(), want) || strings.Contains(seen.Text(), "app-002") {
			t.Errorf("%s: %q, %v", line, seen.Text(), err)
		}
	}
	calls := map[string]int{}
	for _, method := range []string{"auth.test", "users.info", "users.conversations", "conversations.members"} {
		calls[method] = o.slack.CallCount(method)
	}
	want := map[string]int{"auth.test": 1, "users.info": 1, "users.conversations": 1, "conversations.members": 0}
	if fmt.Sprint(calls) != fmt.Sprint(want) {
		t.Errorf("Slack was asked %v, want %v", calls, want)
	}
}
