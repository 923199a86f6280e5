package kovra

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestFilterString(t *testing.T) {
	for want, f := range map[string]Filter{
		"":                                       {},
		"builds":                                 {Topics: []Topic{TopicBuilds}},
		"pipelines pushes":                       {Topics: []Topic{TopicPushes, TopicPipelines, TopicPushes}},
		"ref:!wip/* ref:main":                    {Refs: []string{"main", "!wip/*", "main"}, Topics: []Topic{TopicBuilds, TopicPipelines}},
		"source:push source:web":                 {Sources: []string{"web", "push"}, Broadcast: BroadcastOn},
		"by:!bots by:ann":                        {By: []string{"ann", "!bots"}},
		"only:failures":                          {Only: OnlyFailures},
		"broadcast:off quiet":                    {Broadcast: BroadcastOff, Quiet: true},
		"tags ref:v* only:changes broadcast:all": {Topics: []Topic{TopicTags}, Refs: []string{"v*"}, Only: OnlyChanges, Broadcast: BroadcastAll},
	} {
		if got := f.String(); got != want {
			t.Errorf("%+v: got %q, want %q", f, got, want)
		}
		if diff := cmp.Diff(f.Normal(), f.Normal().Normal()); diff != "" {
			t.Errorf("%q: the normal form has one of its own: %s", want, diff)
		}
	}
}

func TestFilterNormalLeavesItsSource(t *testing.T) {
	f := Filter{Refs: []string{"b", "a"}, Topics: []Topic{TopicPushes, TopicBuilds}}
	f.Normal()
	if f.Refs[0] != "b" || f.Topics[0] != TopicPushes {
		t.Errorf("got %+v", f)
	}
}

func TestFilterKey(t *testing.T) {
	base := Filter{Refs: []string{"main", "v*"}}
	for name, c := range map[string]struct {
		other Filter
		same  bool
	}{
		"how loudly":   {Filter{Refs: []string{"v*", "main"}, Broadcast: BroadcastAll, Quiet: true}, true},
		"other refs":   {Filter{Refs: []string{"main"}}, false},
		"other ends":   {Filter{Refs: base.Refs, Only: OnlyFailures}, false},
		"other people": {Filter{Refs: base.Refs, By: []string{"ann"}}, false},
		"the usual":    {Filter{Refs: base.Refs, Topics: []Topic{TopicPipelines, TopicBuilds}}, true},
		"other topics": {Filter{Refs: base.Refs, Topics: []Topic{TopicPipelines}}, false},
	} {
		if got := c.other.Key() == base.Key(); got != c.same {
			t.Errorf("%s: %q and %q", name, c.other.Key(), base.Key())
		}
	}
}

func TestFilterHas(t *testing.T) {
	for _, topic := range Topics() {
		usual := topic == TopicPipelines || topic == TopicBuilds
		if got := (Filter{}).Has(topic); got != usual {
			t.Errorf("the usual filter has %s: %t", topic, got)
		}
		f := Filter{Topics: []Topic{topic}}
		if !f.Has(topic) || f.Has("moons") || f.Relays() == usual {
			t.Errorf("%s: has it %t, relays %t", topic, f.Has(topic), f.Relays())
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"main", "main", true},
		{"main", "Main", false},
		{"main", "mainline", false},
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "a/b/c", true},
		{"release/*", "release/1/x", true},
		{"release/*", "release", false},
		{"*-fix", "a-fix-fix", true},
		{"*-fix", "a-fixed", false},
		{"v?.?", "v1.2", true},
		{"v?.?", "v1.10", false},
		{"v?", "vé", true},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxcyyb", false},
		{"[a-z]", "b", false}, // no more than * and ?
		{"**", "x", true},
		{"a.c", "abc", false},
		{"?", "", false},
		{"\xff*", "\xfe1", true}, // what is no text is not told apart, and hurts nobody
	} {
		if got := matchGlob(c.pattern, c.text); got != c.want {
			t.Errorf("%q on %q: got %t", c.pattern, c.text, got)
		}
	}
}

// A pattern that would keep a naive matcher busy for years takes no time.
func TestGlobIsBounded(t *testing.T) {
	pattern, text := strings.Repeat("*a", 200)+"b", strings.Repeat("a", 4000)
	began := time.Now()
	if matchGlob(pattern, text) {
		t.Error("it matches")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axbyc")
	f.Add("**?", "é")
	f.Add("*a*a*a*b", "aaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 300 || len(text) > 300 {
			return
		}
		got := matchGlob(pattern, text)
		if want := slowGlob([]rune(pattern), []rune(text)); got != want {
			t.Errorf("%q on %q: got %t", pattern, text, got)
		}
	})
}

// slowGlob is the definition: a table of which ends of the pattern match which ends of the text.
func slowGlob(p, s []rune) bool {
	next := make([]bool, len(s)+1)
	next[len(s)] = true
	for _, want := range slices.Backward(p) {
		now := make([]bool, len(s)+1)
		for j := len(s); j >= 0; j-- {
			switch {
			case want == '*':
				now[j] = next[j] || j < len(s) && now[j+1]
			case j < len(s):
				now[j] = next[j+1] && (want == '?' || want == s[j])
			}
		}
		next = now
	}
	return next[0]
}

// filtered is a subscription with that filter, since before everything.
func filtered(f Filter) Subscription { return Subscription{App: "web", Channel: "C1", Filter: f} }

func TestSubscriptionWants(t *testing.T) {
	run := Run{Remote: 10, Ref: "main", Source: "push", By: ann, Status: Failed, Results: []Result{{Status: Failed, News: Broken}}}
	type change func(*Run)
	same := func(*Run) {}
	for name, c := range map[string]struct {
		filter Filter
		change change
		want   bool
	}{
		"the usual":                  {Filter{}, same, true},
		"a child":                    {Filter{}, func(r *Run) { r.Source = "parent_pipeline" }, false},
		"builds alone":               {Filter{Topics: []Topic{TopicBuilds}}, same, false},
		"its ref":                    {Filter{Refs: []string{"x", "ma*"}}, same, true},
		"another ref":                {Filter{Refs: []string{"x"}}, same, false},
		"all but its ref":            {Filter{Refs: []string{"!main"}}, same, false},
		"all but another":            {Filter{Refs: []string{"!x"}}, same, true},
		"its ref, but not that":      {Filter{Refs: []string{"m*", "!main"}}, same, false},
		"its source":                 {Filter{Sources: []string{"web", "push"}}, same, true},
		"another source":             {Filter{Sources: []string{"schedule"}}, same, false},
		"its person":                 {Filter{By: []string{"ANN"}}, same, true},
		"another person":             {Filter{By: []string{"bob"}}, same, false},
		"all but the person":         {Filter{By: []string{"!ann"}}, same, false},
		"no bots":                    {Filter{By: []string{"!bots"}}, same, true},
		"no bots: one":               {Filter{By: []string{"!bots"}}, func(r *Run) { r.By.Username = "project_12_bot_1f" }, false},
		"bots alone":                 {Filter{By: []string{"bots"}}, same, false},
		"bots alone: one":            {Filter{By: []string{"bots"}}, func(r *Run) { r.By.Username = "renovate-bot" }, true},
		"somebody unknown":           {Filter{By: []string{"ann"}}, func(r *Run) { r.By = GitLabUser{} }, false},
		"somebody unknown, no bots":  {Filter{By: []string{"!bots"}}, func(r *Run) { r.By = GitLabUser{} }, true},
		"failures":                   {Filter{Only: OnlyFailures}, same, true},
		"failures: it runs":          {Filter{Only: OnlyFailures}, func(r *Run) { r.Status, r.Results = Running, nil }, false},
		"failures: it runs again":    {Filter{Only: OnlyFailures}, func(r *Run) { r.Status = Running }, true},
		"failures: no end yet":       {Filter{Only: OnlyFailures}, func(r *Run) { r.Results = nil }, true},
		"changes":                    {Filter{Only: OnlyChanges}, same, true},
		"changes: failed once more":  {Filter{Only: OnlyChanges}, func(r *Run) { r.Results[0].News = NoNews }, false},
		"changes: fixed by a retry":  {Filter{Only: OnlyChanges}, func(r *Run) { r.Results = append(r.Results, Result{Status: Success, News: Fixed}) }, true},
		"changes: it runs":           {Filter{Only: OnlyChanges}, func(r *Run) { r.Status, r.Results = Running, nil }, false},
		"everything that it asks of": {Filter{Refs: []string{"main"}, Sources: []string{"push"}, By: []string{"ann", "!bots"}, Only: OnlyFailures}, same, true},
	} {
		r := run
		r.Results = append([]Result(nil), run.Results...)
		c.change(&r)
		if got := filtered(c.filter).Wants(&r); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	s := filtered(Filter{})
	s.Floor = 10
	if s.Wants(&run) {
		t.Error("it wants what was there before")
	}
	s.Floor, s.Paused = 9, "archived"
	if s.Wants(&run) {
		t.Error("it wants something while it pauses")
	}
}

func TestSubscriptionWantsBuild(t *testing.T) {
	build := Build{
		App: "web", CreatedAt: at(1), Spec: BuildSpec{Branch: "main"}, Status: BuildFailed, News: Broken,
		Pusher: ann, Author: GitLabUser{Username: "bob"},
	}
	for name, c := range map[string]struct {
		filter Filter
		change func(*Build)
		want   bool
	}{
		"the usual":       {Filter{}, func(*Build) {}, true},
		"of another app":  {Filter{}, func(b *Build) { b.App = "api" }, false},
		"from before":     {Filter{}, func(b *Build) { b.CreatedAt = at(-1) }, false},
		"pipelines alone": {Filter{Topics: []Topic{TopicPipelines}}, func(*Build) {}, false},
		"sources":         {Filter{Sources: []string{"push"}}, func(*Build) {}, false},
		"its branch":      {Filter{Refs: []string{"main"}}, func(*Build) {}, true},
		"another branch":  {Filter{Refs: []string{"!main"}}, func(*Build) {}, false},
		"its pusher":      {Filter{By: []string{"ann"}}, func(*Build) {}, true},
		"its author":      {Filter{By: []string{"bob"}}, func(*Build) {}, false},
		"nobody pushed":   {Filter{By: []string{"bob"}}, func(b *Build) { b.Pusher = GitLabUser{} }, true},
		"failures":        {Filter{Only: OnlyFailures}, func(*Build) {}, true},
		"failures: not":   {Filter{Only: OnlyFailures}, func(b *Build) { b.Status = BuildSucceeded }, false},
		"changes":         {Filter{Only: OnlyChanges}, func(*Build) {}, true},
		"changes: not":    {Filter{Only: OnlyChanges}, func(b *Build) { b.News = NoNews }, false},
	} {
		b := build
		c.change(&b)
		s := filtered(c.filter)
		s.CreatedAt = at(0)
		if got := s.WantsBuild(&b); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	s := filtered(Filter{})
	s.Paused = "archived"
	if s.WantsBuild(&build) {
		t.Error("it wants something while it pauses")
	}
}

func TestSubscriptionWantsSubject(t *testing.T) {
	subject := Subject{Kind: SubjectDeployment, State: "failed", Ref: "main", By: ann, MovedAt: at(1)}
	all := Topics()
	for name, c := range map[string]struct {
		filter Filter
		change func(*Subject)
		want   bool
	}{
		"its topic":            {Filter{Topics: all}, func(*Subject) {}, true},
		"the usual":            {Filter{}, func(*Subject) {}, false},
		"another topic":        {Filter{Topics: []Topic{TopicTags}}, func(*Subject) {}, false},
		"from before":          {Filter{Topics: all}, func(e *Subject) { e.MovedAt = at(-1) }, false},
		"that never moved":     {Filter{Topics: all}, func(e *Subject) { e.MovedAt = time.Time{} }, false},
		"in the same second":   {Filter{Topics: all}, func(e *Subject) { e.MovedAt = at(0).Truncate(time.Second) }, true},
		"a draft":              {Filter{Topics: all}, func(e *Subject) { e.Draft = true }, false},
		"its ref":              {Filter{Topics: all, Refs: []string{"main"}}, func(*Subject) {}, true},
		"another ref":          {Filter{Topics: all, Refs: []string{"x"}}, func(*Subject) {}, false},
		"its person":           {Filter{Topics: all, By: []string{"ann"}}, func(*Subject) {}, true},
		"another person":       {Filter{Topics: all, By: []string{"bob"}}, func(*Subject) {}, false},
		"sources of pipelines": {Filter{Topics: all, Sources: []string{"push"}}, func(*Subject) {}, false},
		"failures":             {Filter{Topics: all, Only: OnlyFailures}, func(*Subject) {}, true},
		"failures: it went":    {Filter{Topics: all, Only: OnlyFailures}, func(e *Subject) { e.State = "success" }, false},
	} {
		e := subject
		c.change(&e)
		s := filtered(c.filter)
		s.CreatedAt = at(0).Add(time.Millisecond)
		if got := s.WantsSubject(&e); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestWishes(t *testing.T) {
	sub := func(app, channel string, b Broadcast, quiet bool) Subscription {
		return Subscription{App: app, Channel: channel, Filter: Filter{Broadcast: b, Quiet: quiet}}
	}
	subs := []Subscription{
		sub("api", "C1", BroadcastOff, true),
		sub("api", "C2", "", true),
		sub("api", "C3", BroadcastAll, false),
		sub("web", "C1", BroadcastAll, false),
		sub("web", "C2", BroadcastOff, true),
		sub("web", "C4", BroadcastOn, false),
	}
	got := Wishes(subs, func(s Subscription) bool { return s.Channel != "C4" })
	want := []Wish{
		{Channel: "C1", App: "api", Broadcast: BroadcastAll},
		{Channel: "C2", App: "api", Broadcast: BroadcastOn, Quiet: true},
		{Channel: "C3", App: "api", Broadcast: BroadcastAll},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if none := Wishes(subs, func(Subscription) bool { return false }); !cmp.Equal(none, []Wish(nil), cmpopts.EquateEmpty()) {
		t.Errorf("nobody wants it: %v", none)
	}
}
