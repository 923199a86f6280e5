package bot

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// Administrators see how all webhooks are, and have them enabled; others are told who may.
func TestHooksAreForAdministrators(t *testing.T) {
	d := newDesk(t)
	d.update(func(tx *storage.Tx) error {
		if err := tx.SawHook(7, kovra.HookSight{Health: kovra.HealthDisabled}); err != nil {
			return err
		}
		return tx.SawHook(8, kovra.HookSight{Health: kovra.HealthFine})
	})
	wantText(t, slacksim.Text(d.answer("U1", "C1", "/kovra hooks")), "Only administrators")
	list := d.answer("UADMIN", "C1", "/kovra hooks")
	wantText(t, slacksim.Text(list), "1 webhook does not send", "group/web", "group/api", "group/secret")
	d.none()
	d.ends(kovra.ActionDone, kovra.Outcome{Mended: 1})
	seen := d.click("UADMIN", list.Ref(), labelEnableHooks)
	wantText(t, seen.Text(), "1 webhook sends again")
	if got := d.only(); got.Kind != kovra.ActEnableHooks || got.App != "" || got.By.ID != "UADMIN" || !strings.HasPrefix(got.Lock, "slack/") {
		t.Errorf("proposed %+v", got)
	}
}

// A notice is one direct message to each administrator, edited as the state changes; after a crash it is found, not posted again.
func TestNoticeIsOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.sim.AddUser(slacksim.User{ID: "U2", Name: "bob"})
		see := func(h kovra.HookSight) {
			s.update(func(tx *storage.Tx) error { return tx.SawHook(testProject, h) })
		}
		see(kovra.HookSight{Health: kovra.HealthDisabled, Last: "401"})
		s.update(func(tx *storage.Tx) error { return tx.TellNotice(1, []string{"U1", "U2"}) })
		posts := func() int { return called(s.sim, "chat.postMessage") }
		show := func() {
			t.Helper()
			for range 3 {
				for _, id := range s.threads() {
					if _, err := s.fresh().Reconcile(t.Context(), id); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
			}
			if left := s.threads(); len(left) > 0 {
				t.Fatalf("not shown: %v", left)
			}
		}
		s.sim.Fault(slacksim.LoseReply("chat.postMessage")) // posted, and we die before we know
		show()
		if posts() != 2 {
			t.Errorf("%d messages for two people", posts())
		}
		see(kovra.HookSight{Health: kovra.HealthFine})
		show()
		for _, who := range []string{"U1", "U2"} {
			got := readsAlone(s.sim, who)
			if len(got) != 1 || !strings.Contains(got[0], "All webhooks send again") {
				t.Errorf("%s reads %q", who, got)
			}
		}
		if posts() != 2 {
			t.Errorf("%d messages in the end", posts())
		}
	})
}

// readsAlone is what somebody reads of the bot alone.
func readsAlone(sim *slacksim.Server, who string) (texts []string) {
	for _, ch := range sim.Snapshot(who).Channels {
		for _, m := range ch.Messages {
			if ch.Direct {
				texts = append(texts, m.Plain)
			}
		}
	}
	return texts
}
