package app

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// TestCommandBesideTheServer: what the command line writes down is carried out long before the next sweep, as the operator's, also where
// people act with accounts of their own.
func TestCommandBesideTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newOutside()
		a := built(t, out.options(), "KOVRA_GITLAB_OAUTH_CLIENT_ID=id", "KOVRA_GITLAB_OAUTH_CLIENT_SECRET=secret",
			"KOVRA_ENCRYPTION_KEY=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "KOVRA_PUBLIC_URL=https://kovra.example")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx, nil) }()
		synctest.Wait()

		beside, err := storage.Open(t.Context(), storage.Options{Path: a.cfg.DatabasePath})
		if err != nil {
			t.Fatal(err)
		}
		defer beside.Close()
		ci, err := kovra.Operator("ci")
		if err != nil {
			t.Fatal(err)
		}
		var act kovra.Action
		err = beside.Update(t.Context(), func(tx *storage.Tx) (err error) {
			act, _, err = tx.Propose(kovra.Action{Kind: kovra.ActLink, App: "web", Params: kovra.Params{Project: "group/web"}, By: ci}, nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * lookEvery)
		synctest.Wait()
		err = beside.Read(t.Context(), func(tx *storage.Tx) (err error) {
			act, err = tx.Action(act.ID)
			return err
		})
		if err != nil || act.State != kovra.ActionDone || act.Outcome.Hook != kovra.HookCreated {
			t.Errorf("%v, action %+v", err, act)
		}
		if hooks := out.lab.Hooks(webProject); len(hooks) != 1 {
			t.Errorf("hooks %+v", hooks)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
