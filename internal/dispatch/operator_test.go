package dispatch

import (
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

func operator(t *testing.T) kovra.Person {
	t.Helper()
	p, err := kovra.Operator("ci")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestOperatorActsWithTheBotsToken where people act with accounts of their own, and no one else does.
func TestOperatorActsWithTheBotsToken(t *testing.T) {
	o := newOffice(t)
	link := kovra.Action{Kind: kovra.ActLink, App: "new", Params: kovra.Params{Project: "group/web"}}
	for by, want := range map[*kovra.Person]kovra.ActionState{
		{ID: "U1"}:                           kovra.ActionWaits,
		{ID: "U1", Operator: "ci"}:           kovra.ActionWaits,
		{GitLab: kovra.GitLabUser{ID: 5}}:    kovra.ActionFailed,
		{Name: "ci (command line)", ID: "U"}: kovra.ActionWaits,
	} {
		link.By = *by
		id := o.propose(link)
		if _, err := o.pass(t, id); err != nil {
			t.Fatal(err)
		}
		if got := o.action(id); got.State != want {
			t.Errorf("%+v: state %s, want %s", *by, got.State, want)
		}
	}
	link.By = operator(t)
	id := o.propose(link)
	if _, err := o.pass(t, id); err != nil {
		t.Fatal(err)
	}
	got := o.action(id)
	wantEnd(t, got, kovra.ActionDone, "")
	if got.Outcome.As != "" || got.Outcome.Hook != kovra.HookCreated {
		t.Errorf("outcome %+v", got.Outcome)
	}
	p := &peers{world: o.world}
	if app, err := p.app("new"); err != nil || app.CreatedBy != "" {
		t.Errorf("app %+v, %v: the command line is nobody's id in Slack", app, err)
	}
}

// TestOperatorOrder: what the command line wants of one app is done in order, and what may take a hook away comes last.
func TestOperatorOrder(t *testing.T) {
	p := newPeers(t)
	d := p.dispatch()
	ask := func(kind kovra.ActionKind, app string, params kovra.Params) int64 {
		return p.propose(kovra.Action{Kind: kind, App: app, Channel: "C1", Params: params, By: operator(t)})
	}
	link := ask(kovra.ActLink, "web", kovra.Params{Project: "group/web"})
	other := ask(kovra.ActCreateApp, "api", kovra.Params{})
	subscribe := ask(kovra.ActSubscribe, "web", kovra.Params{Filter: kovra.Filter{Topics: []kovra.Topic{kovra.TopicTags}}})
	moved := ask(kovra.ActLink, "docs", kovra.Params{Project: "group/web", Sure: true})
	remove := ask(kovra.ActDeleteApp, "old", kovra.Params{Sure: true})
	for _, early := range []int64{subscribe, moved, remove} {
		if p.step(d, early) || p.action(early).State != kovra.ActionWanted {
			t.Errorf("action %d did not wait for its turn", early)
		}
	}
	for _, id := range []int64{other, link, subscribe, moved, remove} {
		p.step(d, id)
		wantEnd(t, p.action(id), kovra.ActionDone, "")
	}
}

// TestOperatorPatience: hundreds of wishes that come together may take longer than a person would wait.
func TestOperatorPatience(t *testing.T) {
	p := newPeers(t)
	p.project = func(string) (kovra.Project, error) { return kovra.Project{}, errBusy }
	d := p.dispatch()
	person, ci := linkWeb, linkWeb
	ci.By = operator(t)
	ofPerson, ofCI := p.propose(person), p.propose(ci)
	p.later(d.opts.GiveUp + time.Minute)
	p.step(d, ofPerson)
	wantEnd(t, p.action(ofPerson), kovra.ActionFailed, kovra.Unavailable)
	if !p.step(d, ofCI) {
		t.Error("the wish of the command line is given up as soon as a person's")
	}
	p.later(operatorPatience * d.opts.GiveUp)
	p.step(d, ofCI)
	wantEnd(t, p.action(ofCI), kovra.ActionFailed, kovra.Unavailable)
}

// TestOperatorEntersChannelsOnce: many apps that are told in one channel cost one call of Slack; a person's wish always asks.
func TestOperatorEntersChannelsOnce(t *testing.T) {
	p := newPeers(t)
	joined, member := 0, false
	p.join = func() (bool, error) { joined++; return member, nil }
	d := p.dispatch()
	subscribe := func(app string, by kovra.Person) kovra.Outcome {
		t.Helper()
		p.link(app, web)
		id := p.propose(kovra.Action{Kind: kovra.ActSubscribe, App: app, Channel: "C1", By: by})
		p.step(d, id)
		wantEnd(t, p.action(id), kovra.ActionDone, "")
		return p.action(id).Outcome
	}
	check := func(what string, out kovra.Outcome, wantMember bool, wantJoined int) {
		t.Helper()
		if out.Member != wantMember || joined != wantJoined {
			t.Errorf("%s: member %v after %d calls, want %v after %d", what, out.Member, joined, wantMember, wantJoined)
		}
	}
	check("it cannot enter", subscribe("a", operator(t)), false, 1)
	member = true
	check("it is not remembered that it cannot", subscribe("b", operator(t)), true, 2)
	check("it has entered", subscribe("c", operator(t)), true, 2)
	check("for a person", subscribe("d", kovra.Person{ID: "U1"}), true, 3)
	p.later(enteredHolds)
	member = false
	check("a while later", subscribe("e", operator(t)), false, 4)
}
