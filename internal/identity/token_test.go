package identity

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// tokenCalls counts how often GitLab was asked for tokens.
func (o *office) tokenCalls() (n int) {
	for _, c := range o.lab.sim.Calls() {
		if c.Path == "/oauth/token" {
			n++
		}
	}
	return n
}

func TestTokenIsRefreshedOnce(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	first, err := o.Token(t.Context(), "UMIA")
	o.must(err)
	before := o.tokenCalls()
	if again, err := o.Token(t.Context(), "UMIA"); err != nil || again != first || o.tokenCalls() != before {
		t.Errorf("a token that lives was replaced: %v", err)
	}
	o.clock.move(2*time.Hour - soon)
	var group sync.WaitGroup
	tokens := make([]string, 8)
	for n := range tokens {
		group.Go(func() {
			token, err := o.Token(t.Context(), "UMIA")
			if err != nil {
				t.Error(err)
			}
			tokens[n] = token
		})
	}
	group.Wait()
	for _, token := range tokens {
		if token != tokens[0] || token == first || token == "" {
			t.Fatalf("tokens differ, or were not replaced: %v", tokens)
		}
	}
	if n := o.tokenCalls() - before; n != 1 {
		t.Errorf("refreshed %d times, want once", n)
	}
	if len(o.refreshing.of) != 0 {
		t.Errorf("%d turns are left", len(o.refreshing.of))
	}
}

func TestRefreshThatFails(t *testing.T) {
	tests := []struct {
		name        string
		prepare     func(o *office)
		first, next kovra.ErrorKind
	}{
		{"GitLab is broken", func(o *office) {
			o.lab.sim.Fault(gitlabsim.Status("POST /oauth/token", http.StatusBadGateway))
		}, kovra.Unavailable, ""},
		{"too many requests", func(o *office) { o.lab.sim.Fault(gitlabsim.RateLimit("POST /oauth/token", 5*time.Second)) }, kovra.Unavailable, ""},
		{"GitLab is down", func(o *office) { o.lab.sim.SetDown(true) }, kovra.Unavailable, kovra.Unavailable},
		{"the answer is lost", func(o *office) { o.lab.sim.Fault(gitlabsim.LoseReply("POST /oauth/token")) }, kovra.Unavailable, kovra.Unconnected},
		{"revoked", func(o *office) { o.lab.sim.RevokeTokens("mia") }, kovra.Unconnected, kovra.Unconnected},
		{"disconnected", func(o *office) {
			_, err := o.Disconnect(o.Context(), "UMIA")
			o.must(err)
		}, kovra.Unconnected, kovra.Unconnected},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t)
			o.connect("UMIA", "mia")
			tt.prepare(o)
			o.clock.move(2 * time.Hour)
			_, err := o.Token(t.Context(), "UMIA")
			want(t, err, tt.first)
			_, err = o.Token(t.Context(), "UMIA")
			want(t, err, tt.next)
			if connected := o.account("UMIA").Connected(); connected != (tt.next != kovra.Unconnected) {
				t.Errorf("connected %v", connected)
			}
		})
	}
}

func TestRefreshOutlivesItsCaller(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	o.clock.move(2 * time.Hour)
	late := gitlabsim.Delay("POST /oauth/token", 100*time.Millisecond)
	o.lab.sim.Fault(late)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for o.lab.sim.FaultCounts()[late.String()] == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	defer cancel()
	if _, err := o.Token(ctx, "UMIA"); err != nil {
		t.Errorf("got %v, want the new token", err)
	}
	if _, err := o.Token(t.Context(), "UMIA"); err != nil {
		t.Errorf("the new pair was lost: %v", err)
	}
}

func TestTokenWithoutOAuth(t *testing.T) {
	o := newOffice(t, func(o *Options) { o.OAuth = nil })
	_, err := o.Token(t.Context(), "UMIA")
	want(t, err, kovra.Conflict)
	if had, err := o.Disconnect(t.Context(), "UMIA"); had || err != nil {
		t.Errorf("Disconnect = %v, %v", had, err)
	}
	o.must(o.Lost(t.Context(), "UMIA"))
	_, err = o.ConnectURL(t.Context(), person("UMIA"))
	want(t, err, kovra.Conflict)
}

func TestDisconnect(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	o.lab.sim.Fault(gitlabsim.Status("POST /oauth/revoke", http.StatusServiceUnavailable))
	if _, err := o.Disconnect(t.Context(), "UMIA"); kovra.KindOf(err) != kovra.Unavailable || !o.account("UMIA").Connected() {
		t.Errorf("GitLab is down: %v", err)
	}
	if had, err := o.Disconnect(t.Context(), "UMIA"); !had || err != nil || o.account("UMIA").Connected() || o.live("mia") != 0 {
		t.Errorf("Disconnect = %v, %v; %d pairs live", had, err, o.live("mia"))
	}
	if had, err := o.Disconnect(t.Context(), "UMIA"); had || err != nil {
		t.Errorf("again: %v, %v", had, err)
	}
}

func TestLost(t *testing.T) {
	o := newOffice(t)
	o.must(o.Lost(t.Context(), "UMIA")) // who is not connected has nothing to lose
	o.connect("UMIA", "mia")
	want(t, o.Lost(t.Context(), "UMIA"), kovra.Unavailable)
	if !o.account("UMIA").Connected() {
		t.Error("a token that works was forgotten")
	}
	o.lab.sim.ExpireTokens("mia")
	want(t, o.Lost(t.Context(), "UMIA"), kovra.Unavailable)
	if token, err := o.Token(t.Context(), "UMIA"); err != nil || !o.account("UMIA").Connected() {
		t.Errorf("a token that could be refreshed was forgotten: %v", err)
	} else if _, err := o.lab.owner(token); err != nil {
		t.Errorf("not refreshed: %v", err)
	}
	o.lab.set(func() { o.lab.down = errors.New("reset") })
	want(t, o.Lost(t.Context(), "UMIA"), kovra.Unavailable)
	o.lab.set(func() { o.lab.down = nil })
	o.lab.sim.RevokeTokens("mia")
	o.must(o.Lost(t.Context(), "UMIA"))
	if o.account("UMIA").Connected() {
		t.Error("still connected with a revoked token")
	}
}

func TestWhoLeavesLosesTheirTokens(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	o.lab.sim.Fault(gitlabsim.Status("POST /oauth/revoke", http.StatusServiceUnavailable))
	o.must(o.Left(t.Context(), "UMIA"))
	if o.account("UMIA").Connected() {
		t.Error("kept, because GitLab was down")
	}
	o.connect("UMIA", "mia")
	o.slack.set(func() {
		u := o.slack.users["UMIA"]
		u.Deleted = true
		o.slack.users["UMIA"] = u
	})
	o.clock.move(trusted + time.Second)
	want(t, o.May(t.Context(), person("UMIA"), kovra.MaySelf, ""), kovra.Denied)
	if o.account("UMIA").Connected() || o.live("mia") != 1 { // that of the first time
		t.Errorf("connected %v, %d pairs live", o.account("UMIA").Connected(), o.live("mia"))
	}
}

func TestKeysAreRotated(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	had, err := o.Token(t.Context(), "UMIA")
	o.must(err)
	reopen := func(keys ...[]byte) *Identity {
		t.Helper()
		db, err := storage.Open(t.Context(), storage.Options{Path: o.path, Key: keys, Now: o.clock.now})
		o.must(err)
		t.Cleanup(func() { o.must(db.Close()) })
		return New(Options{Slack: o.slack, GitLab: o.lab, DB: db, Now: o.clock.now, OAuth: &OAuth{ClientSecret: func() string { return "" }, GitLabURL: labURL, PublicURL: o.where, HTTP: o.lab.sim.Client()}})
	}
	fresh := bytes.Repeat([]byte{8}, 32)
	both := reopen(fresh, officeKey)
	o.must(both.SealAgain(t.Context()))
	if got, err := reopen(fresh).Token(t.Context(), "UMIA"); err != nil || got != had {
		t.Errorf("with the new key alone: %v", err)
	}
	_, err = reopen(officeKey).Token(t.Context(), "UMIA")
	want(t, err, kovra.Unconnected) // with the old one alone they are as good as gone
}

// TestWhoLeavesDuringARefresh: the pair that GitLab gives then is nobody's, and must not live on there.
func TestWhoLeavesDuringARefresh(t *testing.T) {
	o := newOffice(t)
	o.connect("UMIA", "mia")
	o.clock.move(2 * time.Hour)
	o.lab.sim.Fault(gitlabsim.Delay("POST /oauth/token", 200*time.Millisecond))
	before := o.tokenCalls()
	var group sync.WaitGroup
	group.Go(func() {
		_, err := o.Token(t.Context(), "UMIA")
		want(t, err, kovra.Unconnected)
	})
	for o.tokenCalls() == before {
		time.Sleep(time.Millisecond)
	}
	o.must(o.db.Update(t.Context(), func(tx *storage.Tx) error { // as Left does, whose word to GitLab comes too early
		_, err := tx.Disconnect("UMIA")
		return err
	}))
	group.Wait()
	if n := o.live("mia"); n != 0 {
		t.Errorf("%d pairs live at GitLab", n)
	}
}
