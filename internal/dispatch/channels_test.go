package dispatch

import (
	"testing"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func TestShowAndHideLogs(t *testing.T) {
	p := newPeers(t)
	allowed := func() bool {
		t.Helper()
		var c kovra.Channel
		err := p.db.Read(t.Context(), func(tx *storage.Tx) (err error) {
			c, err = tx.Channel("C1")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return c.LogsAllowed
	}
	show, hide := kovra.Action{Kind: kovra.ActShowLogs, Channel: "C1"}, kovra.Action{Kind: kovra.ActHideLogs, Channel: "C1"}
	for _, c := range []struct {
		act  kovra.Action
		want bool
	}{{hide, false}, {show, true}, {show, true}, {hide, false}} {
		wantEnd(t, p.act(c.act), kovra.ActionDone, "")
		if allowed() != c.want {
			t.Errorf("after %s: allowed %v, want %v", c.act.Kind, allowed(), c.want)
		}
	}
	wantEnd(t, p.act(kovra.Action{Kind: kovra.ActShowLogs}), kovra.ActionFailed, kovra.Invalid)
	p.gate = errDenied
	wantEnd(t, p.act(show), kovra.ActionFailed, kovra.Denied)
	if allowed() {
		t.Error("somebody who may not has allowed it")
	}
}
