package bot

import (
	"errors"
	"path/filepath"
	"testing"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func TestInvitationResumes(t *testing.T) {
	tests := []struct {
		name   string
		event  string
		paused bool
	}{
		{"the bot was invited", `{"type":"member_joined_channel","user":"UBOT","channel":"C1"}`, false},
		{"the channel is back", `{"type":"channel_unarchive","user":"U1","channel":"C1"}`, false},
		{"somebody else came", `{"type":"member_joined_channel","user":"U1","channel":"C1"}`, true},
		{"another channel", `{"type":"member_joined_channel","user":"UBOT","channel":"C2"}`, true},
		{"the bot was thrown out", `{"type":"member_left_channel","user":"UBOT","channel":"C1"}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db, err := storage.Open(t.Context(), storage.Options{Path: filepath.Join(t.TempDir(), "state.db")})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			err = db.Update(t.Context(), func(tx *storage.Tx) error {
				return errors.Join(
					tx.SaveApp(kovra.App{Name: "web"}),
					tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C1"}),
					tx.PauseSubscriptions("C1", "I was not in it"),
				)
			})
			if err != nil {
				t.Fatal(err)
			}
			h := NewHandler(HandlerOptions{DB: db})
			payload := `{"type":"event_callback","authorizations":[{"user_id":"UBOT"}],"event":` + tt.event + `}`
			if err := h.Event(t.Context(), []byte(payload)); err != nil {
				t.Fatal(err)
			}
			var subs []kovra.Subscription
			err = db.Read(t.Context(), func(tx *storage.Tx) (err error) {
				subs, err = tx.Subscriptions(storage.SubscriptionQuery{Channel: "C1"})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := subs[0].Paused != ""; got != tt.paused {
				t.Errorf("paused: %v, want %v", got, tt.paused)
			}
		})
	}
}
