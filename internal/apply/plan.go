package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kovra.dev/chatops/bot"
	"kovra.dev/chatops/internal/kovra"
)

// Sign says what happens to a thing.
type Sign byte

// The signs of a plan, as in a diff.
const (
	Same   Sign = ' '
	Add    Sign = '+'
	Change Sign = '~'
	Remove Sign = '-'
)

// Plan is the difference between a file and the state.
type Plan struct {
	Apps []AppPlan // in the order in which they are printed: by name
	// LeftApps and LeftSubscriptions are how many are not in the file and stay.
	LeftApps, LeftSubscriptions int
}

// AppPlan is what happens to one app; no Steps: nothing.
type AppPlan struct {
	Name  string
	Sign  Sign
	Lines []Line
	Steps []Step // in the order in which they are carried out

	rank rank
}

// Line is one line of a plan.
type Line struct {
	Sign Sign
	What string // project, a channel, builds
	Text []string
}

// Step is one action of a plan.
type Step struct {
	Sign   Sign
	Title  string // for people, as in "link web to group/web"
	Action kovra.Action
}

// rank orders apps: what may take a project's webhook away comes after all that may need it.
type rank int

const (
	ranksFirst rank = iota
	ranksMoved      // the app leaves a project
	ranksRemoved
)

// Options say how a file is compared.
type Options struct {
	Prune    bool   // as prune in the file
	NoBuilds string // why builds are off, as half a sentence; "": they are on
}

// Prepare resolves a document and compares it with the state. All that is wrong with either is told at once, as [FileError];
// another error means that somebody could not be asked.
func Prepare(ctx context.Context, d *Document, now State, peers Peers, o Options) (Plan, error) {
	unresolved := d.Resolve(ctx, now, peers)
	of, wrong := errors.AsType[*FileError](unresolved)
	if unresolved != nil && !wrong {
		return Plan{}, unresolved
	}
	plan, impossible := Compare(d, now, o)
	also, wrong := errors.AsType[*FileError](impossible)
	switch {
	case of == nil:
		return plan, impossible
	case wrong:
		of.All = append(of.All, also.All...)
	}
	return Plan{}, of
}

// Compare makes the plan. The document is resolved. What the state makes impossible is told as [FileError].
func Compare(d *Document, now State, o Options) (Plan, error) {
	o.Prune = o.Prune || d.Prune
	var p problems
	var plan Plan
	inFile := map[string]bool{}
	for i := range d.Apps {
		a := &d.Apps[i]
		inFile[a.Name] = true
		c := comparing{Options: o, doc: d, now: now, app: a, problems: &p}
		plan.Apps = append(plan.Apps, c.plan(&plan))
	}
	for _, a := range now.Apps {
		switch {
		case inFile[a.Name]:
		case o.Prune:
			plan.Apps = append(plan.Apps, removal(a, now.Subscriptions[a.Name]))
		default:
			plan.LeftApps++
		}
	}
	slices.SortStableFunc(plan.Apps, func(a, b AppPlan) int { return strings.Compare(a.Name, b.Name) })
	return plan, p.of(d.File)
}

// Steps are all actions, in the order in which they are proposed.
func (p Plan) Steps() (steps []Step) {
	apps := slices.Clone(p.Apps)
	slices.SortStableFunc(apps, func(a, b AppPlan) int { return cmp.Compare(a.rank, b.rank) })
	for _, a := range apps {
		steps = append(steps, a.Steps...)
	}
	return steps
}

func removal(a kovra.App, subs []kovra.Subscription) AppPlan {
	out := AppPlan{Name: a.Name, Sign: Remove, rank: ranksRemoved}
	if n := len(subs); n > 0 {
		out.Lines = append(out.Lines, Line{Sign: Remove, What: "channels", Text: []string{plural(n, "subscription", "subscriptions")}})
	}
	out.Steps = []Step{{
		Sign: Remove, Title: "delete " + a.Name,
		Action: kovra.Action{Kind: kovra.ActDeleteApp, App: a.Name, Params: kovra.Params{Sure: true}},
	}}
	return out
}

// comparing is one app while it is compared.
type comparing struct {
	Options
	doc *Document
	now State
	app *App
	*problems
	out AppPlan
}

func (c *comparing) plan(whole *Plan) AppPlan {
	old, exists := c.now.app(c.app.Name)
	c.out = AppPlan{Name: c.app.Name, Sign: Same}
	if !exists {
		c.out.Sign = Add
	}
	c.project(old, exists)
	whole.LeftSubscriptions += c.channels()
	c.builds()
	return c.out
}

// step adds a line to the plan and the action that it stands for.
func (c *comparing) step(line Line, title string, act kovra.Action) {
	act.App = c.app.Name
	c.out.Lines = append(c.out.Lines, line)
	c.out.Steps = append(c.out.Steps, Step{Sign: line.Sign, Title: oneLine(title), Action: act})
}

func (c *comparing) project(old kovra.App, exists bool) {
	name, to, from := c.app.Name, c.app.project, c.now.Projects[old.Project]
	link := kovra.Action{Kind: kovra.ActLink, Params: kovra.Params{Project: to.Path, Sure: old.Project != 0}}
	switch {
	case to.ID == 0 && !exists:
		c.out.Steps = append(c.out.Steps, Step{Sign: Add, Title: "create " + name, Action: kovra.Action{Kind: kovra.ActCreateApp, App: name}})
	case to.ID == 0 && c.Prune && old.Project != 0:
		c.out.rank = ranksMoved
		c.step(Line{Remove, "project", []string{from.Path}}, "unlink "+name+" from "+from.Path, kovra.Action{Kind: kovra.ActUnlink})
	case to.ID == 0 || to.ID == old.Project:
	case old.Project == 0:
		c.step(Line{Add, "project", []string{to.Path}}, "link "+name+" to "+to.Path, link)
	default:
		c.out.rank = ranksMoved
		c.step(Line{Change, "project", []string{from.Path + " → " + to.Path}}, "link "+name+" to "+to.Path, link)
	}
}

// channels compares subscriptions and returns how many are not in the file and stay.
func (c *comparing) channels() (left int) {
	have := c.now.Subscriptions[c.app.Name]
	wanted := map[int64]bool{}
	for _, ch := range c.app.Channels {
		for _, f := range ch.Filters {
			i := slices.IndexFunc(have, func(s kovra.Subscription) bool { return s.Channel == ch.id && s.Filter.Key() == f.Key() })
			if i >= 0 {
				wanted[have[i].ID] = true
			}
			c.subscription(ch, f, have, i)
		}
	}
	for _, s := range have {
		if wanted[s.ID] {
			continue
		}
		if !c.Prune {
			left++
			continue
		}
		where, words := c.doc.channelName(s.Channel), bot.FilterWords(s.Filter)
		c.step(Line{Remove, where, []string{words}}, fmt.Sprintf("unsubscribe %s from %s: %s", where, c.app.Name, words),
			kovra.Action{Kind: kovra.ActUnsubscribe, Channel: s.Channel, Params: kovra.Params{Subscription: s.ID}})
	}
	return left
}

// subscription compares one; i is where it is in have, -1: nowhere.
func (c *comparing) subscription(ch Channel, f kovra.Filter, have []kovra.Subscription, i int) {
	where, words := c.doc.channelName(ch.id), bot.FilterWords(f)
	act := kovra.Action{Kind: kovra.ActSubscribe, Channel: ch.id, Params: kovra.Params{Filter: f}}
	title := fmt.Sprintf("subscribe %s to %s: %s", where, c.app.Name, words)
	if i < 0 {
		c.step(Line{Add, where, []string{words}}, title, act)
		return
	}
	switch was := bot.FilterWords(have[i].Filter); {
	case was != words:
		c.step(Line{Change, where, []string{was + " → " + words}}, title, act)
	case have[i].Paused != "": // Slack refused the channel; to subscribe again is to try again
		c.step(Line{Change, where, []string{words + ": paused, because " + have[i].Paused + " → resumed"}}, title, act)
	}
}

// channelName is how people call a channel, as far as that is known.
func (d *Document) channelName(id string) string {
	if name := d.channels[id]; name != "" {
		return "#" + name
	}
	return id
}

// builds compares the settings of builds. With Prune, what the file says nothing of gets its default.
func (c *comparing) builds() {
	stored := c.now.settings(c.app.Name)
	b := c.app.Builds
	if b == nil {
		if !c.Prune {
			return
		}
		b = &Builds{Line: c.app.Line, Settings: kovra.DefaultBuildSettings(c.app.Name)}
	}
	want := b.Settings
	want.Args = slices.Clone(want.Args)
	for i := range want.Args {
		c.keep(&want.Args[i], b.kept, stored)
	}
	want.Paused, want.PausedBy = stored.Paused, stored.PausedBy
	want.ChangedBy, want.ChangedAt = stored.ChangedBy, stored.ChangedAt
	changes := want.Changes(stored)
	switch {
	case len(changes) == 0:
		return
	case c.NoBuilds != "":
		c.add(b.Line, "builds of %s cannot be set: builds are off, because %s", c.app.Name, c.NoBuilds)
		return
	}
	c.step(Line{Change, "builds", append(changes, want.Warnings()...)}, "change the settings of builds of "+c.app.Name,
		kovra.Action{Kind: kovra.ActBuildSetting, Params: kovra.Params{Settings: &want}})
}

// keep gives an argument that is written without a value the one that it has.
func (c *comparing) keep(a *kovra.BuildArg, kept map[string]int, stored kovra.BuildSettings) {
	line, keeps := kept[a.Key]
	if !keeps {
		return
	}
	i := slices.IndexFunc(stored.Args, func(o kovra.BuildArg) bool { return o.Key == a.Key })
	if i < 0 {
		c.add(line, "the argument %s of %s has no value, and none is known yet", a.Key, c.app.Name)
		return
	}
	a.Value = stored.Args[i].Value
}
