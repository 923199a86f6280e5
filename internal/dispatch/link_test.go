package dispatch

import (
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

var linkWeb = kovra.Action{Kind: kovra.ActLink, App: "web", Channel: "C1", Params: kovra.Params{Project: "group/web"}}

func TestLinkDone(t *testing.T) {
	p := newPeers(t)
	p.latest = []kovra.Run{{Project: web, Remote: 9, Status: kovra.Success}, {Project: web, Remote: 12, Status: kovra.Running}}
	a := p.act(linkWeb)
	wantEnd(t, a, kovra.ActionDone, "")
	want := kovra.Outcome{Project: "group/web", Created: true, Hook: kovra.HookCreated, Member: true, Existing: 2}
	if a.Outcome != want {
		t.Errorf("outcome %+v", a.Outcome)
	}
	if app, err := p.app("web"); err != nil || app.Project != web {
		t.Errorf("app %+v, %v", app, err)
	}
	if k := p.saved(web); k.Hook != 1 || !k.HookOurs || !k.LinkedAt.Equal(morning) {
		t.Errorf("project %+v", k)
	}
	if subs := p.subscriptions("web"); len(subs) != 1 || subs["C1"].Floor != 12 {
		t.Errorf("subscriptions %+v", subs)
	}
	p.update(func(tx *storage.Tx) error { // what was there before is listed, without a thread
		run, err := tx.RunByRemote(web, 12)
		if err != nil {
			return err
		}
		threads, err := tx.ThreadsOfRun(run.ID)
		if len(threads) != 0 {
			t.Errorf("an old pipeline has %d threads", len(threads))
		}
		return err
	})
}

func TestLinkFails(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(p *peers, a *kovra.Action)
		kind kovra.ErrorKind
	}{
		"a bad name":         {func(_ *peers, a *kovra.Action) { a.App = "Web" }, kovra.Invalid},
		"denied by the gate": {func(p *peers, _ *kovra.Action) { p.gate = errDenied }, kovra.Denied},
		"no such project": {func(p *peers, _ *kovra.Action) {
			p.project = func(string) (kovra.Project, error) { return kovra.Project{}, errGone }
		}, kovra.NotFound},
		"pipelines are not shown": {func(p *peers, _ *kovra.Action) {
			p.newest = func() ([]kovra.Run, error) { return nil, errDenied }
		}, kovra.Denied},
		"Slack refuses": {func(p *peers, _ *kovra.Action) { p.join = func() (bool, error) { return false, errDenied } }, kovra.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			p, a := newPeers(t), linkWeb
			c.fail(p, &a)
			wantEnd(t, p.act(a), kovra.ActionFailed, c.kind)
			if _, err := p.app(a.App); kovra.KindOf(err) != kovra.NotFound {
				t.Errorf("the app was made all the same: %v", err)
			}
		})
	}
}

func TestLinkWaitsForItsPeers(t *testing.T) {
	for name, busy := range map[string]func(p *peers, first func() error){
		"project": func(p *peers, first func() error) {
			p.project = func(string) (kovra.Project, error) { return kovra.Project{ID: web, Path: "group/web"}, first() }
		},
		"pipelines": func(p *peers, first func() error) { p.newest = func() ([]kovra.Run, error) { return nil, first() } },
		"hook": func(p *peers, first func() error) {
			p.hook = func() (Hook, error) { return Hook{ID: 1, Created: true, Ours: true}, first() }
		},
		"channel": func(p *peers, first func() error) { p.join = func() (bool, error) { return true, first() } },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeers(t)
			busy(p, once(errBusy))
			d, id := p.dispatch(), p.propose(linkWeb)
			if !p.step(d, id) || p.action(id).State != kovra.ActionWanted {
				t.Fatalf("state %q", p.action(id).State)
			}
			p.step(d, id)
			a := p.action(id)
			wantEnd(t, a, kovra.ActionDone, "")
			if a.Outcome.Hook != kovra.HookCreated || !a.Outcome.Member {
				t.Errorf("outcome %+v", a.Outcome)
			}
		})
	}
}

// A webhook that cannot be made is told, with the reason, and the link is made all the same.
func TestLinkWithoutAHook(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *peers)
		note   string
	}{
		"no public URL": {func(p *peers) { p.noPublic = true }, "KOVRA_PUBLIC_URL is not set"},
		"refused":       {func(p *peers) { p.hook = func() (Hook, error) { return Hook{}, errDenied } }, "The bot may not do this."},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeers(t)
			c.change(p)
			a := p.act(linkWeb)
			wantEnd(t, a, kovra.ActionDone, "")
			if a.Outcome.Hook != kovra.HookByHand || !strings.HasPrefix(a.Outcome.HookNote, c.note) {
				t.Errorf("hook %q: %q", a.Outcome.Hook, a.Outcome.HookNote)
			}
			if k := p.saved(web); k.Hook != 0 || k.HookOurs {
				t.Errorf("project %+v", k)
			}
		})
	}
}

// The bot cannot enter a private channel by itself; the link is made, and the answer can say so.
func TestLinkInAPrivateChannel(t *testing.T) {
	p := newPeers(t)
	p.join = func() (bool, error) { return false, nil }
	a := p.act(linkWeb)
	wantEnd(t, a, kovra.ActionDone, "")
	if a.Outcome.Member {
		t.Error("the bot is said to be in the channel")
	}
}

// To link again is harmless: the channel keeps where it started, and a pause ends.
func TestLinkAgain(t *testing.T) {
	p := newPeers(t)
	p.latest = []kovra.Run{{Project: web, Remote: 12, Status: kovra.Running}}
	p.act(linkWeb)
	p.update(func(tx *storage.Tx) error { return tx.PauseSubscriptions("C1", "The bot was removed.") })
	p.hook = func() (Hook, error) { return Hook{ID: 1, Ours: false}, nil }
	p.latest = []kovra.Run{{Project: web, Remote: 40, Status: kovra.Running}}
	p.later(time.Hour)
	again := linkWeb
	again.Params.Filter.Broadcast = kovra.BroadcastAll
	a := p.act(again)
	wantEnd(t, a, kovra.ActionDone, "")
	if a.Outcome.Created || a.Outcome.Hook != kovra.HookFound {
		t.Errorf("outcome %+v", a.Outcome)
	}
	if s := p.subscriptions("web")["C1"]; s.Floor != 12 || s.Paused != "" || s.Filter.Broadcast != kovra.BroadcastAll {
		t.Errorf("subscription %+v", s)
	}
	if k := p.saved(web); !k.HookOurs || !k.LinkedAt.Equal(morning) {
		t.Errorf("project %+v: what we made is ours", k)
	}
}

func TestLinkOutsideAChannel(t *testing.T) {
	p := newPeers(t)
	a := linkWeb
	a.Channel = ""
	wantEnd(t, p.act(a), kovra.ActionDone, "")
	if subs := p.subscriptions("web"); len(subs) != 0 {
		t.Errorf("subscriptions %+v", subs)
	}
}

// moving is an app that is linked to one project and is to be linked to another one.
func moving(t *testing.T) (*peers, kovra.Action) {
	t.Helper()
	p := newPeers(t)
	p.act(linkWeb)
	p.act(kovra.Action{Kind: kovra.ActSubscribe, App: "web", Channel: "C2"})
	p.project = func(string) (kovra.Project, error) { return kovra.Project{ID: 8, Path: "group/new"}, nil }
	p.latest = []kovra.Run{{Project: 8, Remote: 100, Status: kovra.Success}}
	a := linkWeb
	a.Params.Project = "group/new"
	return p, a
}

func TestRelinkAsksFirst(t *testing.T) {
	p, a := moving(t)
	asked := p.act(a)
	wantEnd(t, asked, kovra.ActionAsks, "")
	if asked.Outcome.Reason != "web is linked to group/web. Link it to group/new instead?" || asked.Outcome.Project != "group/new" {
		t.Errorf("outcome %+v", asked.Outcome)
	}
	if app, err := p.app("web"); err != nil || app.Project != web || p.count("unhook") != 0 {
		t.Errorf("app %+v, %v, calls %q: it moved before the answer", app, err, p.calls)
	}
}

func TestRelink(t *testing.T) {
	p, a := moving(t)
	a.Params.Sure = true
	wantEnd(t, p.act(a), kovra.ActionDone, "")
	if app, err := p.app("web"); err != nil || app.Project != 8 {
		t.Errorf("app %+v, %v", app, err)
	}
	subs := p.subscriptions("web")
	if len(subs) != 2 || subs["C1"].Floor != 100 || subs["C2"].Floor != 100 {
		t.Errorf("every channel starts anew, but: %+v", subs)
	}
	if p.count("unhook") != 1 {
		t.Errorf("the old hook stays: %q", p.calls)
	}
}

func TestRelinkKeepsAHookThatIsNeeded(t *testing.T) {
	p, a := moving(t)
	p.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "site", Project: web}) })
	a.Params.Sure = true
	wantEnd(t, p.act(a), kovra.ActionDone, "")
	if p.count("unhook") != 0 {
		t.Error("the hook of another app was taken away")
	}
}

func TestUnlink(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *peers)
		hook   kovra.HookState
		calls  int
		note   bool
	}{
		"alone": {func(*peers) {}, kovra.HookRemoved, 1, false},
		"another app needs it": {func(p *peers) {
			p.update(func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "site", Project: web}) })
		}, kovra.HookKept, 0, false},
		"not ours": {func(p *peers) {
			p.update(func(tx *storage.Tx) error { return tx.SaveProject(kovra.Project{ID: web, Path: "group/web", Hook: 1}) })
		}, kovra.HookKept, 0, false},
		"gone already": {func(p *peers) { p.unhook = errGone }, kovra.HookRemoved, 1, false},
		"refused":      {func(p *peers) { p.unhook = errDenied }, kovra.HookKept, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeers(t)
			p.act(linkWeb)
			c.change(p)
			a := p.act(kovra.Action{Kind: kovra.ActUnlink, App: "web"})
			wantEnd(t, a, kovra.ActionDone, "")
			if a.Outcome.Hook != c.hook || p.count("unhook") != c.calls || (a.Outcome.Reason != "") != c.note {
				t.Errorf("hook %q (%q), taken away %d times", a.Outcome.Hook, a.Outcome.Reason, p.count("unhook"))
			}
			if app, err := p.app("web"); err != nil || app.Project != 0 {
				t.Errorf("app %+v, %v", app, err)
			}
			if gone := p.saved(web).Hook == 0; gone != (c.hook == kovra.HookRemoved) {
				t.Errorf("the hook is known as gone: %v", gone)
			}
			if len(p.subscriptions("web")) != 1 {
				t.Error("the channel is not subscribed any more")
			}
		})
	}
}

func TestUnlinkFails(t *testing.T) {
	p := newPeers(t)
	wantEnd(t, p.act(kovra.Action{Kind: kovra.ActUnlink, App: "web"}), kovra.ActionFailed, kovra.NotFound)
	p.act(kovra.Action{Kind: kovra.ActCreateApp, App: "web"})
	wantEnd(t, p.act(kovra.Action{Kind: kovra.ActUnlink, App: "web"}), kovra.ActionFailed, kovra.Conflict)
}

func TestUnlinkAndDeleteWaitForGitLab(t *testing.T) {
	for _, kind := range []kovra.ActionKind{kovra.ActUnlink, kovra.ActDeleteApp} {
		p := newPeers(t)
		p.act(linkWeb)
		p.unhook = errBusy
		d, id := p.dispatch(), p.propose(kovra.Action{Kind: kind, App: "web", Params: kovra.Params{Sure: true}})
		if !p.step(d, id) {
			t.Fatalf("%s: given up", kind)
		}
		if app, err := p.app("web"); err != nil || app.Project != web {
			t.Errorf("%s: half done: %+v, %v", kind, app, err)
		}
		p.unhook = nil
		p.step(d, id)
		wantEnd(t, p.action(id), kovra.ActionDone, "")
	}
}

func TestDeleteApp(t *testing.T) {
	p := newPeers(t)
	p.act(linkWeb)
	asked := p.act(kovra.Action{Kind: kovra.ActDeleteApp, App: "web"})
	wantEnd(t, asked, kovra.ActionAsks, "")
	if _, err := p.app("web"); err != nil || p.count("unhook") != 0 {
		t.Errorf("deleted before the answer: %v, %q", err, p.calls)
	}
	a := p.act(kovra.Action{Kind: kovra.ActDeleteApp, App: "web", Params: kovra.Params{Sure: true}})
	wantEnd(t, a, kovra.ActionDone, "")
	if _, err := p.app("web"); kovra.KindOf(err) != kovra.NotFound || len(p.subscriptions("web")) != 0 {
		t.Errorf("left: %v, %v", err, p.subscriptions("web"))
	}
	if a.Outcome.Hook != kovra.HookRemoved || p.count("unhook") != 1 {
		t.Errorf("outcome %+v", a.Outcome)
	}
}

func TestDeleteAppWithoutAProject(t *testing.T) {
	p := newPeers(t)
	wantEnd(t, p.act(kovra.Action{Kind: kovra.ActCreateApp, App: "web"}), kovra.ActionDone, "")
	wantEnd(t, p.act(kovra.Action{Kind: kovra.ActDeleteApp, App: "web", Params: kovra.Params{Sure: true}}), kovra.ActionDone, "")
	if _, err := p.app("web"); kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("it is still there: %v", err)
	}
}

func TestCreateApp(t *testing.T) {
	p := newPeers(t)
	create := kovra.Action{Kind: kovra.ActCreateApp, App: "web", By: kovra.Person{ID: "U1"}}
	if a := p.act(create); !a.Outcome.Created {
		t.Errorf("outcome %+v", a.Outcome)
	}
	if app, err := p.app("web"); err != nil || app.CreatedBy != "U1" || !app.CreatedAt.Equal(morning) {
		t.Errorf("app %+v, %v", app, err)
	}
	again := p.act(create)
	wantEnd(t, again, kovra.ActionDone, "")
	if again.Outcome.Created {
		t.Error("made twice")
	}
	create.App = "help"
	wantEnd(t, p.act(create), kovra.ActionFailed, kovra.Invalid)
}

func TestSubscribe(t *testing.T) {
	p := newPeers(t)
	subscribe := kovra.Action{Kind: kovra.ActSubscribe, App: "web", Channel: "C2", Params: kovra.Params{Filter: kovra.Filter{Broadcast: kovra.BroadcastOff}}}
	wantEnd(t, p.act(subscribe), kovra.ActionFailed, kovra.NotFound)
	p.act(linkWeb)
	p.latest = []kovra.Run{{Project: web, Remote: 30, Status: kovra.Success}}
	wantEnd(t, p.act(subscribe), kovra.ActionDone, "")
	if s := p.subscriptions("web")["C2"]; s.Floor != 30 || s.Filter.Broadcast != kovra.BroadcastOff {
		t.Errorf("subscription %+v", s)
	}
	p.latest = []kovra.Run{{Project: web, Remote: 50, Status: kovra.Success}}
	subscribe.Params.Filter.Broadcast = ""
	p.act(subscribe)
	if s := p.subscriptions("web")["C2"]; s.Floor != 30 || s.Filter.Broadcast != kovra.BroadcastOff {
		t.Errorf("after the second time: %+v", s)
	}
	p.newest = func() ([]kovra.Run, error) { return nil, errGone }
	wantEnd(t, p.act(subscribe), kovra.ActionFailed, kovra.NotFound)
	p.newest, p.join = nil, func() (bool, error) { return false, errDenied }
	wantEnd(t, p.act(subscribe), kovra.ActionFailed, kovra.Denied)
}

// TestDirectMessagesHearOfNothing: an app that is linked there is linked and no more, and a subscription is refused, of one
// with several people too, which Slack alone can tell from a channel.
func TestDirectMessagesHearOfNothing(t *testing.T) {
	for channel, join := range map[string]func() (bool, error){
		"D1": nil, "CSEVERAL": func() (bool, error) { return false, kovra.ErrDirect },
	} {
		t.Run(channel, func(t *testing.T) {
			p := newPeers(t)
			p.join = join
			link := linkWeb
			link.Channel = channel
			a := p.act(link)
			wantEnd(t, a, kovra.ActionDone, "")
			if !a.Outcome.Direct || a.Outcome.Member {
				t.Errorf("outcome %+v", a.Outcome)
			}
			if app, err := p.app("web"); err != nil || app.Project != web {
				t.Errorf("app %+v, %v", app, err)
			}
			a = p.act(kovra.Action{Kind: kovra.ActSubscribe, App: "web", Channel: channel})
			wantEnd(t, a, kovra.ActionFailed, kovra.Invalid)
			if !strings.Contains(a.Outcome.Reason, "/kovra notify me") {
				t.Errorf("reason %q does not say what there is instead", a.Outcome.Reason)
			}
			if subs := p.subscriptions("web"); len(subs) != 0 {
				t.Errorf("subscriptions %+v", subs)
			}
		})
	}
}

// TestSubscriptionThatCannotBeChanged: an edit of one that is gone, or that would select what another one does, ends with the reason,
// and asks nobody else before.
func TestSubscriptionThatCannotBeChanged(t *testing.T) {
	tags, pushes := kovra.Filter{Topics: []kovra.Topic{kovra.TopicTags}}, kovra.Filter{Topics: []kovra.Topic{kovra.TopicPushes}}
	for name, c := range map[string]struct {
		late bool // it happens while GitLab and Slack are asked
		gone bool
	}{
		"gone": {gone: true}, "the same as another": {},
		"gone meanwhile": {late: true, gone: true}, "the same meanwhile": {late: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeers(t)
			p.link("web", web, "C1")
			edited := p.subscriptions("web")["C1"].ID
			spoil := func() {
				p.update(func(tx *storage.Tx) error {
					if c.gone {
						_, err := tx.DeleteSubscriptions("web", "C1", edited)
						return err
					}
					return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C1", Filter: tags})
				})
			}
			p.update(func(tx *storage.Tx) error {
				return tx.SaveSubscription(kovra.Subscription{App: "web", Channel: "C1", Filter: pushes})
			})
			asked := 0
			p.join = func() (bool, error) {
				if asked++; c.late && asked == 1 {
					spoil()
				}
				return true, nil
			}
			if !c.late {
				spoil()
			}
			id := p.propose(kovra.Action{Kind: kovra.ActSubscribe, App: "web", Channel: "C1", Params: kovra.Params{Filter: tags, Subscription: edited}})
			if after, err := p.dispatch().Actions().Reconcile(t.Context(), id); after != 0 || err != nil {
				t.Errorf("again after %v, %v", after, err)
			}
			wantEnd(t, p.action(id), kovra.ActionFailed, kovra.Conflict)
			if (asked != 0) != c.late {
				t.Errorf("Slack was asked %d times", asked)
			}
		})
	}
}

func TestUnsubscribe(t *testing.T) {
	p := newPeers(t)
	p.act(linkWeb)
	unsubscribe := kovra.Action{Kind: kovra.ActUnsubscribe, App: "web", Channel: "C1"}
	if a := p.act(unsubscribe); a.State != kovra.ActionDone || a.Outcome.Reason != "" || len(p.subscriptions("web")) != 0 {
		t.Errorf("state %q, outcome %+v", a.State, a.Outcome)
	}
	if a := p.act(unsubscribe); a.State != kovra.ActionDone || a.Outcome.Reason != "This channel was not subscribed to web." {
		t.Errorf("state %q, outcome %+v", a.State, a.Outcome)
	}
}

// TestSubscribeRemembersANewHook: relays have the webhook looked after, and one that was made anew is ours to take away.
func TestSubscribeRemembersANewHook(t *testing.T) {
	p := newPeers(t)
	p.act(linkWeb)
	p.hook = func() (Hook, error) { return Hook{ID: 2, Created: true, Ours: true}, nil }
	relays := kovra.Params{Filter: kovra.Filter{Topics: []kovra.Topic{kovra.TopicTags}}}
	wantEnd(t, p.act(kovra.Action{Kind: kovra.ActSubscribe, App: "web", Channel: "C1", Params: relays}), kovra.ActionDone, "")
	if k := p.saved(web); k.Hook != 2 || !k.HookOurs {
		t.Errorf("project %+v, want the new hook", k)
	}
}
