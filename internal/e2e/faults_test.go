package e2e

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/internal/tektonsim"
	"kovra.dev/chatops/storage"
)

const (
	faultsSample  = 16 // points that are tried by default
	faultsPerCall = 3  // of an endpoint that is called often, its first calls
	stepTries     = 8  // people do not try for ever
)

// TestEveryFault plays one long story (connect, link, subscribe, push, fail, retry, run, cancel, build, deploy), finds out all calls that
// the program makes to its peers and all its commits, and plays it again and again, each time with one of them failing in
// one way. People repeat what was not done. In the end everything must be as without the fault.
//
// By default a sample is tried, drawn by KOVRA_TEST_SEED; KOVRA_TEST_SEEDS is its size, and a large one means all.
func TestEveryFault(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	size := drawn(t, "KOVRA_TEST_SEEDS", map[bool]uint64{true: 6, false: faultsSample}[testing.Short()])
	seed := drawn(t, "KOVRA_TEST_SEED", rand.Uint64()%1_000_000)
	var want string
	var all []point
	synctest.Test(t, func(t *testing.T) {
		f := newFaultWorld(t, point{})
		want = f.play()
		all = f.all
	})
	if t.Failed() {
		return
	}
	points := shuffled(all, seed)[:min(uint64(len(all)), size)]
	missed, tried := &tally{count: map[string]int{}}, &tally{count: map[string]int{}}
	t.Run("point", func(t *testing.T) {
		for _, p := range points {
			t.Run(p.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newFaultWorld(t, p)
					tried.add(p.String(), 1)
					got := f.play()
					if diff := gocmp.Diff(want, got); diff != "" {
						t.Errorf("the end differs (-without the fault +with it):\n%s", diff)
					}
					if !f.struck() {
						missed.add(p.String(), 1)
					}
				})
			})
		}
	})
	t.Logf("KOVRA_TEST_SEED=%d: %d of %d points tried, %d of them did not come to pass", seed, len(tried.count), len(all), len(missed.count))
	if len(missed.count) > len(tried.count)/5+2 { // some do: no two lives have the same calls and commits
		t.Errorf("too many faults did not come to pass: %v", slices.Sorted(maps.Keys(missed.count)))
	}
}

// shuffled draws an order that does not depend on which other points there are: the number of commits differs a little from life to life.
func shuffled(points []point, seed uint64) []point {
	order := map[point]uint64{}
	for _, p := range points {
		h := fnv.New64a()
		_, _ = fmt.Fprint(h, p)                          // never fails
		order[p] = rand.NewPCG(seed, h.Sum64()).Uint64() // hashes of neighbours are neighbours, and must not be drawn together
	}
	return slices.SortedFunc(slices.Values(points), func(a, b point) int { return cmp.Compare(order[a], order[b]) })
}

// faultWorld is the world of one such story.
type faultWorld struct {
	*world
	faulty *faulty
	first  *killer
	all    []point // of the story
}

func newFaultWorld(t *testing.T, p point) *faultWorld {
	t.Helper()
	w := &world{
		t: t, rnd: rand.New(rand.NewPCG(1, 1)), what: &tally{count: map[string]int{}}, accounts: true,
		seen: map[string]int{}, told: map[string]bool{}, erased: map[int64]string{},
	}
	f := &faultWorld{world: w, faulty: &faulty{point: p, calls: map[string]int{}, die: func() { w.killer().kill() }, dead: func() bool { return w.killer().killed() }}}
	w.slack = slacksim.New(slacksim.Options{
		BaseURL: slackURL, RequestURL: publicURL, Transport: slacksim.HandlerTransport(http.HandlerFunc(w.front)),
	})
	w.lab = gitlabsim.New(gitlabsim.Options{})
	w.lab.SetURL(labURL)
	w.lab.SetWebhookDelivery(w.deliver)
	w.populate()
	w.sim = tektonsim.New(tektonsim.Options{Pace: 2 * time.Second, LinePace: 50 * time.Millisecond})
	for _, ns := range []string{"kovra-builds", "shop"} {
		w.sim.AddNamespace(ns)
	}
	w.sim.AddDeployment(tektonsim.Deployment{Namespace: "shop", Name: "web", Image: "registry.example.com/team/web:old"})
	dir := quickDir(t)
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := w.sim.WriteKubeconfig(kubeconfig, "http://cluster.sim", nil); err != nil {
		t.Fatal(err)
	}
	w.bent = f.faulty.bend
	w.cfg = configuration(t, filepath.Join(dir, "kovra.db"),
		append(settingsOfOAuth(), "KOVRA_LOG_ACCESS=link", "KOVRA_KUBECONFIG="+kubeconfig, "KOVRA_REGISTRY="+storyRegistry)...)
	f.first = &killer{what: w.what}
	switch {
	case p.call != "":
	case p.fault == noSpace:
		f.first.full = p.nth
	default:
		f.first.left, f.first.only = p.nth, p.fault
	}
	return f
}

// killer is that of the present life.
func (w *world) killer() *killer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.k
}

// play plays the story to its end and returns what has become of everything.
func (f *faultWorld) play() string {
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.sim.Run(ctx) }()
	f.start(f.first)
	f.pass(2 * time.Second)
	f.story()
	f.pass(25 * time.Minute)
	f.all = f.points()
	f.peace()
	for _, problem := range f.problems() {
		f.t.Error(problem)
	}
	end := f.end()
	f.stop()
	cancel()
	if err := <-ended; err != nil && ctx.Err() == nil {
		f.t.Error(err)
	}
	return end
}

// pass lets time pass; a program that was killed is started again.
func (f *faultWorld) pass(d time.Duration) {
	f.settle(d)
	if f.killer().killed() {
		f.stop()
		f.settle(3 * time.Second)
		f.start(&killer{what: f.what})
		f.settle(time.Minute)
	}
}

// person does something until it is done, as people do: they try again when nothing is under way any more.
func (f *faultWorld) person(name string, do func(), done func(*storage.Tx) bool) {
	for range stepTries {
		do()
		f.pass(time.Second)
		for range 30 {
			reached, open := false, false
			_ = f.app.DB().Read(f.t.Context(), func(tx *storage.Tx) error { // what cannot be read is looked at again
				reached = done(tx)
				actions, err := tx.Actions(storage.ActionQuery{Limit: 100})
				open = slices.ContainsFunc(actions, func(a kovra.Action) bool { return a.Open() })
				return err
			})
			if reached && !open {
				return
			}
			if !open {
				break
			}
			f.pass(20 * time.Second)
		}
		f.pass(20 * time.Second)
	}
	said := map[string]string{}
	for _, who := range []string{alice, bob} {
		for _, m := range f.slack.Ephemerals(who) {
			said[who] = slacksim.Text(m)
		}
	}
	f.t.Errorf("%s: not done after %d tries; the last answers were %q", name, stepTries, said)
}

// asked is done when so many actions of a kind are done.
func asked(kind kovra.ActionKind, n int) func(*storage.Tx) bool {
	return func(tx *storage.Tx) bool {
		actions, err := tx.Actions(storage.ActionQuery{Limit: 1000})
		for _, a := range actions {
			if a.Kind == kind && a.State == kovra.ActionDone {
				n--
			}
		}
		return err == nil && n <= 0
	}
}

func (f *faultWorld) types(who, channel, line string) func() {
	return func() { _, _ = f.slack.Slash(f.t.Context(), who, channel, line) }
}

// clicks presses a button on the newest message of the channel that has it, or else in what somebody was told alone.
func (f *faultWorld) clicks(who, button string) func() {
	return func() {
		var found []slacksim.Message
		for _, m := range f.slack.Messages(deploys) {
			found = append(append(found, m), f.slack.Replies(deploys, m.TS)...)
		}
		for _, m := range slices.Backward(append(found, f.slack.Ephemerals(who)...)) {
			if slices.Contains(slacksim.Buttons(m.Tree), button) {
				_, _ = f.slack.Click(f.t.Context(), who, m.Ref(), button)
				return
			}
		}
	}
}

// gitlab lets something happen at GitLab, which tells of it once. What does not arrive is lost; of merge requests, which nobody reads
// again, somebody then presses Resend.
func (f *faultWorld) gitlab(do func()) {
	before := len(f.lab.Deliveries())
	do()
	_ = f.lab.SendAll(f.t.Context())
	f.pass(20 * time.Second)
	lost := false
	for i, d := range f.lab.Deliveries() {
		if i >= before && d.Event == "Merge Request Hook" && d.Status != http.StatusOK {
			lost = f.lab.Resend(i) == nil || lost
		}
	}
	if lost {
		_ = f.lab.SendAll(f.t.Context())
		f.pass(20 * time.Second)
	}
}

func (f *faultWorld) connected(user string) func(*storage.Tx) bool {
	return func(tx *storage.Tx) bool {
		a, err := tx.Account(user)
		return err == nil && a.Connected()
	}
}

// story is what happens.
func (f *faultWorld) story() {
	f.person("alice connects", func() { f.join(alice, "alice") }, f.connected(alice))
	f.person("bob connects", func() { f.join(bob, "bob") }, f.connected(bob))
	f.person("link", f.types(alice, deploys, "/kovra link web group/web"), asked(kovra.ActLink, 1))
	f.person("link for the team", f.types(alice, team, "/kovra link site group/web"), asked(kovra.ActLink, 2))
	f.person("subscribe", f.types(alice, relays, "/kovra subscribe web merge_requests"), asked(kovra.ActSubscribe, 1))
	f.person("settings", f.settings, asked(kovra.ActBuildSetting, 1))

	f.gitlab(func() { f.lab.Push(web, "main", "One", "alice") })
	f.gitlab(func() {
		f.lab.OpenMergeRequest(web, gitlabsim.MergeRequest{IID: 1, SourceBranch: "feature", Title: "A change"}, "bob")
	})
	first := f.newest()
	f.gitlab(func() { _ = f.lab.Step(web, first) })
	f.gitlab(func() { f.finishJobs(first, "failed") })
	f.pass(5 * time.Minute) // what no webhook told is known by now
	f.person("retry", f.clicks(bob, "Retry"), asked(kovra.ActRetry, 1))
	f.gitlab(func() { _ = f.lab.FinishPipeline(web, first, "success") })

	f.person("run", f.types(bob, deploys, "/pipeline run web main CLICK=1"), asked(kovra.ActRun, 1))
	f.pass(5 * time.Minute)
	f.person("cancel", f.clicks(bob, "Cancel"), asked(kovra.ActCancel, 1))
	f.gitlab(func() { _ = f.lab.FinishPipeline(web, f.newest(), "canceled") })

	f.person("build", f.types(bob, deploys, "/build trigger web"), asked(kovra.ActBuild, 1))
	f.pass(10 * time.Minute)
	f.person("deploy", func() {
		f.types(alice, deploys, "/build deploy web 1")()
		f.pass(5 * time.Second)
		f.clicks(alice, "Yes, deploy it")()
	}, asked(kovra.ActDeploy, 1))
	f.person("home", func() { _ = f.slack.OpenHome(f.t.Context(), bob) }, func(*storage.Tx) bool {
		_, shown := f.slack.HomeView(bob)
		return shown
	})
	f.gitlab(func() { f.lab.ApproveMergeRequest(web, 1, "alice") })
	f.gitlab(func() { f.lab.MergeMergeRequest(web, 1, "alice") })
	for _, p := range f.lab.Pipelines(web) {
		if p.Status == "pending" || p.Status == "running" || p.Status == "created" {
			f.gitlab(func() { _ = f.lab.FinishPipeline(web, p.ID, "success") })
		}
	}
}

// settings fills in the form.
func (f *faultWorld) settings() {
	seen, err := f.slack.Slash(f.t.Context(), alice, deploys, "/build settings web")
	if err != nil || seen.View == nil {
		return
	}
	_, _ = f.slack.Submit(f.t.Context(), alice, seen.View.ID, map[string]string{"target_namespace": "shop", "deployment": "web"})
}

func (f *faultWorld) newest() int64 {
	newest := int64(0)
	for _, p := range f.lab.Pipelines(web) {
		if p.Source != "parent_pipeline" {
			newest = max(newest, p.ID)
		}
	}
	return newest
}

func (f *faultWorld) finishJobs(pipeline int64, status string) {
	for _, j := range f.lab.Jobs(web, pipeline) {
		if j.Status == "running" {
			_ = f.lab.FinishJob(j.ID, status, "compiling\nerror: it broke\n", "script_failure")
		}
	}
}

// end is what has become of everything, without numbers and times.
func (f *faultWorld) end() string {
	var lines []string
	for _, p := range f.lab.Pipelines(web) {
		lines = append(lines, fmt.Sprintf("pipeline %s %s %s: %s", p.Source, p.Ref, p.User, p.Status))
	}
	for _, r := range f.sim.Runs() {
		lines = append(lines, fmt.Sprintf("PipelineRun %s: %s", r.Pipeline, r.Status))
	}
	lines = append(lines, "deployed: "+strings.Split(f.sim.DeployedImage("shop", "web", ""), "@")[0])
	err := f.app.DB().Read(context.WithoutCancel(f.t.Context()), func(tx *storage.Tx) error {
		actions, err := tx.Actions(storage.ActionQuery{Limit: 1000})
		for _, a := range actions {
			if a.State == kovra.ActionDone && a.Kind != kovra.ActConnect {
				lines = append(lines, fmt.Sprintf("done: %s by %s in %s", a.Kind, a.By.ID, a.Channel))
			}
		}
		return err
	})
	if err != nil {
		f.t.Error(err)
	}
	for _, c := range []string{deploys, team, relays, fails} {
		for _, m := range f.slack.Messages(c) {
			if m.User != slacksim.BotUserID || m.ThreadTS != "" && m.ThreadTS != m.TS {
				continue
			}
			lines = append(lines, "in "+c+": "+firstLine(m))
			for _, r := range f.slack.Replies(c, m.TS) {
				if strings.Contains(firstLine(r), "Log: ") {
					continue // there is a tail only where somebody could have seen the build run
				}
				lines = append(lines, "in "+c+", below "+firstLine(m)+": "+firstLine(r))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// firstLine is how a message begins; numbers and durations depend on when things happened.
func firstLine(m slacksim.Message) string {
	first, _, _ := strings.Cut(slacksim.Text(m), "\n")
	return numbers.ReplaceAllString(took.ReplaceAllString(first, "DURATION"), "N")
}

var took = regexp.MustCompile(`\b\d+[dhms]( \d+[hms])*\b`)

// points are all places at which something can go wrong in a life without faults.
func (f *faultWorld) points() []point {
	var out []point
	for _, call := range slices.Sorted(maps.Keys(f.faulty.calls)) {
		for n := range min(f.faulty.calls[call], faultsPerCall) {
			for _, fault := range callFaults {
				out = append(out, point{call: call, nth: n + 1, fault: fault})
			}
		}
	}
	for n := range f.first.seen {
		for _, fault := range commitFaults {
			out = append(out, point{nth: n + 1, fault: fault})
		}
	}
	return out
}

// peace has nothing fail any more: nobody starts the program again for the judge.
func (f *faultWorld) peace() {
	f.faulty.mu.Lock()
	f.faulty.over = true
	f.faulty.mu.Unlock()
	f.first.mu.Lock()
	defer f.first.mu.Unlock()
	f.first.left, f.first.full = 0, 0
}

// struck reports whether the fault came to pass.
func (f *faultWorld) struck() bool {
	switch p := f.faulty.point; {
	case p.call != "":
		return f.faulty.hit
	case p.fault == noSpace:
		return f.first.seen >= p.nth
	default:
		return f.first.killed()
	}
}
