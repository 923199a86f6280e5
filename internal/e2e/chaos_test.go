package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/bot"
	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// mustHappen are the faults and crash points that a run of all seeds has to have seen.
var mustHappen = []string{
	"crash before a commit", "crash after a commit",
	"crash before a write of Slack", "crash after a write of Slack", "crash before a read of Slack", "crash after a read of Slack",
	"crash before a write of GitLab", "crash after a write of GitLab", "crash before a read of GitLab", "crash after a read of GitLab",
	"duplicate", "drop", "late", "shuffle", "restart", "double click", "viewer", "erase",
	"log that is complete", "log that outlived its erasure", "log that nobody read to its end", "reader who saw the end",
	"merge request", "comment", "deployment", "mention", "event twice", "home", "watch", "relay", "told alone", "token revoked", "token expired",
	"slack rate limit", "slack 5xx", "slack lost reply", "slack delay", "slack drop",
	"gitlab rate limit", "gitlab 5xx", "gitlab lost reply", "gitlab 502 after", "gitlab delay",
}

// seeds is how many lives of the world are played: KOVRA_TEST_SEEDS, else 200.
func seeds(t *testing.T) uint64 {
	t.Helper()
	if text := os.Getenv("KOVRA_TEST_SEEDS"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			t.Fatalf("KOVRA_TEST_SEEDS: %v", err)
		}
		return n
	}
	if testing.Short() {
		return 20
	}
	return 200
}

// TestChaos plays the product against peers that double, reorder, drop, refuse and
// lose, kills it at any commit or call, and then compares, when all is quiet,
// what Slack shows with what the state says.
func TestChaos(t *testing.T) {
	// Lives are short and memory is plenty: less of the time goes into tidying up.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	what := &tally{count: map[string]int{}}
	n := seeds(t)
	t.Run("seeds", func(t *testing.T) {
		for seed := range n {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, seed, what, sabotage{})
					w.live()
					for _, problem := range w.problems() {
						t.Error(problem)
					}
					w.stop()
				})
			})
		}
	})
	for _, k := range slices.Sorted(maps.Keys(what.count)) {
		t.Logf("%6d %s", what.count[k], k)
	}
	for _, k := range mustHappen {
		if what.count[k] == 0 && n >= 100 {
			t.Errorf("in %d seeds there was no %q", n, k)
		}
	}
}

// TestChaosNotices switches off what keeps messages single: the chaos test must fail then.
func TestChaosNotices(t *testing.T) {
	for name, evil := range map[string]sabotage{
		"nonce look-up":         {blindNonce: true},
		"folding of duplicates": {freshEnds: true},
	} {
		t.Run(name, func(t *testing.T) {
			what := &tally{count: map[string]int{}}
			for seed := range uint64(60) {
				var problems []string
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, seed, what, evil)
					w.live()
					problems = w.problems()
					w.stop()
				})
				if len(problems) > 0 {
					t.Logf("seed %d: %s", seed, problems[0])
					return
				}
			}
			t.Errorf("without it nothing went wrong in 60 seeds: the chaos test proves nothing")
		})
	}
}

// live links the project, lets things happen to it, and then waits for quiet.
func (w *world) live() {
	w.settle(2 * time.Second)
	if w.accounts {
		w.join(alice, "alice")
		w.join(bob, "bob")
		w.settle(5 * time.Second)
	}
	w.subscribe()
	w.settle(5 * time.Second)
	for range 40 + w.rnd.IntN(40) {
		w.happen()
		w.settle(time.Duration(w.rnd.IntN(3000)) * time.Millisecond)
		if w.k.killed() {
			w.stop()
			w.settle(time.Duration(w.rnd.IntN(60)) * time.Second)
			w.start(w.mortal())
		}
	}
	w.calm()
}

// subscribe links the project and says what each channel wants to hear.
func (w *world) subscribe() {
	w.t.Helper()
	w.say(alice, deploys, "/kovra link web group/web")
	w.say(alice, team, "/kovra link site group/web")
	w.say(alice, relays, "/kovra subscribe web merge_requests tags deployments releases pushes")
	w.say(alice, fails, "/kovra subscribe web pipelines only:failures quiet")
	w.say(bob, deploys, "/kovra notify me all")
}

// settle lets time pass.
func (w *world) settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// calm ends all faults, finishes what runs, and waits until the product has caught up.
func (w *world) calm() {
	w.slack.ClearFaults()
	w.lab.ClearFaults()
	w.stop()
	w.leaveSome()
	w.lab.ReleaseHooks(nil)
	w.start(&killer{what: w.what})
	w.readHalf()
	for _, p := range w.lab.Pipelines(web) {
		if p.Status == "running" || p.Status == "pending" || p.Status == "canceling" || p.Status == "created" {
			_ = w.lab.FinishPipeline(web, p.ID, "success")
		}
	}
	_ = w.lab.SendAll(w.t.Context())
	w.settle(5 * time.Minute)
	for _, r := range w.readers {
		r.disconnect()
	}
	w.settle(25 * time.Minute)
	for fault, n := range w.slack.FaultCounts() {
		w.what.add("slack "+plain(fault), n)
	}
	for fault, n := range w.lab.FaultCounts() {
		w.what.add("gitlab "+plain(fault), n)
	}
}

// plain takes the method off a fault's name.
func plain(fault string) string {
	for _, f := range []struct{ has, name string }{
		{"rate", "rate limit"},
		{"lose", "lost reply"},
		{"lost", "lost reply"},
		{"drop", "drop"},
		{"delay", "delay"},
		{"gateway", "502 after"},
		{"status", "5xx"},
	} {
		if strings.Contains(strings.ToLower(fault), f.has) {
			return f.name
		}
	}
	return fault
}

// happen does one thing, drawn by the seed.
func (w *world) happen() {
	deeds := []func(){
		w.push, w.push, w.work, w.work, w.work, w.work, w.finish, w.finish, w.finish,
		w.clickSomething, w.clickSomething, w.doubleClick, w.clickAtGitLab, w.runTyped, w.runTyped,
		w.openViewer, w.openViewer, w.closeViewer, w.closeViewer, w.write, w.write, w.erase,
		w.review, w.review, w.comment, w.publish, w.mention, w.mention, w.lookAtHome, w.watchOne, w.meddleWithTokens, w.meddleWithTokens,
		w.meddleWithHooks, w.meddleWithHooks, w.breakSlack, w.breakSlack, w.breakGitLab, w.breakGitLab, w.restart,
	}
	deeds[w.rnd.IntN(len(deeds))]()
	if w.rnd.IntN(4) > 0 {
		_ = w.lab.SendAll(w.t.Context()) // deliveries to a dead program fail, as they should
	}
}

func (w *world) push() {
	if w.evil.freshEnds {
		w.lab.DuplicateNext(100)
	}
	branch := []string{"main", "feature"}[w.rnd.IntN(2)]
	w.lab.Push(web, branch, fmt.Sprintf("Change %d", w.rnd.IntN(1000)), "alice")
}

// work moves the jobs of a pipeline.
func (w *world) work() {
	p, ok := w.pick()
	if !ok {
		return
	}
	_ = w.lab.Step(web, p.ID)
	for _, j := range w.lab.Jobs(web, p.ID) {
		if j.Status != "running" || w.rnd.IntN(2) == 0 {
			continue
		}
		status := []string{"success", "success", "failed"}[w.rnd.IntN(3)]
		_ = w.lab.FinishJob(j.ID, status, "", "script_failure")
	}
}

func (w *world) finish() {
	if p, ok := w.pick(); ok {
		_ = w.lab.FinishPipeline(web, p.ID, []string{"success", "failed"}[w.rnd.IntN(2)])
	}
}

// pick draws one of the newest pipelines.
func (w *world) pick() (gitlabsim.PipelineState, bool) {
	all := w.lab.Pipelines(web)
	if len(all) == 0 {
		return gitlabsim.PipelineState{}, false
	}
	slices.SortFunc(all, func(a, b gitlabsim.PipelineState) int { return int(b.ID - a.ID) })
	return all[w.rnd.IntN(min(len(all), 4))], true
}

var buttons = []string{"Retry", "Cancel", "Retry job"}

// target draws a message that shows one of the buttons.
func (w *world) target() (slacksim.Message, string, bool) {
	var found []slacksim.Message
	var names []string
	for _, m := range w.slack.Messages(deploys) {
		for _, m := range append([]slacksim.Message{m}, w.slack.Replies(deploys, m.TS)...) {
			for _, b := range slacksim.Buttons(m.Tree) {
				if slices.Contains(buttons, b) {
					found, names = append(found, m), append(names, b)
				}
			}
		}
	}
	if len(found) == 0 {
		return slacksim.Message{}, "", false
	}
	i := w.rnd.IntN(len(found))
	return found[i], names[i], true
}

func (w *world) clickSomething() {
	if m, b, ok := w.target(); ok {
		_, _ = w.slack.Click(w.t.Context(), bob, m.Ref(), b)
	}
}

// clickAtGitLab lets somebody retry or play a job in GitLab itself.
func (w *world) clickAtGitLab() {
	p, ok := w.pick()
	if !ok {
		return
	}
	for _, j := range w.lab.Jobs(web, p.ID) {
		switch {
		case j.Status == "failed" && !j.Retried:
			_, _ = w.lab.RetryJob(j.ID, "alice")
			return
		case j.Status == "manual":
			_, _ = w.lab.PlayJob(j.ID, "alice")
			return
		}
	}
}

// doubleClick lets two people press the same button at the same time, one of them on an old picture.
func (w *world) doubleClick() {
	m, b, ok := w.target()
	if !ok {
		return
	}
	w.what.add("double click", 1)
	var wg sync.WaitGroup
	for _, who := range []string{alice, bob} {
		wg.Go(func() { _, _ = w.slack.ClickStale(w.t.Context(), who, m, b) })
	}
	wg.Wait()
}

// runTyped starts a pipeline that can be told from all others by its variable.
func (w *world) runTyped() {
	w.clicks++
	_, _ = w.slack.Slash(w.t.Context(), bob, deploys, fmt.Sprintf("/pipeline run web main CLICK=%d", w.clicks))
}

func (w *world) meddleWithHooks() {
	switch w.rnd.IntN(4) {
	case 0:
		w.what.add("duplicate", 1)
		w.lab.DuplicateNext(1 + w.rnd.IntN(5))
	case 1:
		w.what.add("drop", 1)
		w.lab.DropNext(1 + w.rnd.IntN(3))
	case 2:
		w.what.add("late", 1)
		w.lab.LateNext()
	default:
		w.what.add("shuffle", 1)
		w.lab.HoldHooks()
		w.work()
		w.finish()
		w.work()
		w.lab.ReleaseHooks(func(d []gitlabsim.Delivery) []gitlabsim.Delivery {
			w.rnd.Shuffle(len(d), func(i, j int) { d[i], d[j] = d[j], d[i] })
			return d
		})
	}
}

func (w *world) breakSlack() {
	method := []string{"chat.postMessage", "chat.postMessage", "chat.update", "*", "conversations.replies", "response_url"}[w.rnd.IntN(6)]
	w.slack.Fault([]slacksim.Fault{
		slacksim.RateLimit(method, time.Duration(1+w.rnd.IntN(20))*time.Second),
		slacksim.Status(method, 500), slacksim.LoseReply(method), slacksim.LoseReply("chat.postMessage"),
		slacksim.Delay(method, 12*time.Second), slacksim.Drop(method),
	}[w.rnd.IntN(6)])
}

func (w *world) breakGitLab() {
	endpoint := []string{"POST /projects/:id/pipeline", "POST /projects/:id/pipeline", "*", "*", "GET /projects/:id/pipelines/:pipeline_id"}[w.rnd.IntN(5)]
	w.lab.Fault([]gitlabsim.Fault{
		gitlabsim.RateLimit(endpoint, time.Duration(1+w.rnd.IntN(20))*time.Second),
		gitlabsim.Status(endpoint, 500), gitlabsim.LoseReply(endpoint), gitlabsim.BadGatewayAfter("POST /projects/:id/pipeline"),
		gitlabsim.BadGatewayAfter(endpoint), gitlabsim.Delay(endpoint, 20*time.Second),
	}[w.rnd.IntN(6)])
}

// restart stops the program in order and starts a life that will be killed.
func (w *world) restart() {
	w.what.add("restart", 1)
	w.stop()
	w.settle(time.Duration(w.rnd.IntN(20)) * time.Second)
	w.start(w.mortal())
}

// problems compares, when all is quiet, Slack with the state and the state with GitLab.
func (w *world) problems() []string {
	var out []string
	ctx := context.WithoutCancel(w.t.Context())
	w.stateProblems(ctx, &out)
	w.homeProblems(ctx, &out)
	return out
}

// stateProblems is what of it can be seen without asking the program for anything.
func (w *world) stateProblems(ctx context.Context, out *[]string) {
	db := w.app.DB()
	w.hooked = w.endsOf()
	w.logProblems(out)
	for ref, err := range db.Dirty(ctx) {
		*out = append(*out, fmt.Sprintf("still to be done: %s %d (%v)", ref.Kind, ref.ID, err))
	}
	err := db.Read(ctx, func(tx *storage.Tx) error {
		shown, err := w.threadProblems(tx, out)
		if err != nil {
			return err
		}
		if err := w.otherThreads(tx, shown, out); err != nil {
			return err
		}
		w.strangers(shown, out)
		return w.startProblems(tx, out)
	})
	w.peopleProblems(out)
	if err != nil {
		*out = append(*out, err.Error())
	}
}

// threadProblems compares every thread, slot by slot, with the rendering of its state.
// It returns the messages that belong to a slot.
func (w *world) threadProblems(tx *storage.Tx, out *[]string) (map[string]string, error) {
	shown := map[string]string{}
	runs, err := tx.Runs(storage.RunQuery{Project: web, Limit: 1000})
	if err != nil {
		return nil, err
	}
	known := map[int64]bool{}
	for _, r := range runs {
		known[r.Remote] = true
		real := w.lab.Pipeline(web, r.Remote)
		if string(r.Status) != real.Status {
			*out = append(*out, fmt.Sprintf("pipeline %d is %s here and %s at GitLab", r.Remote, r.Status, real.Status))
		}
		threads, err := tx.ThreadsOfRun(r.ID)
		if err != nil {
			return nil, err
		}
		all := slices.DeleteFunc(slices.Clone(threads), func(t kovra.Thread) bool { return t.Channel != deploys && t.Channel != team })
		if len(all) != 2 {
			*out = append(*out, fmt.Sprintf("pipeline %d has %d threads, want one in each of two channels", r.Remote, len(all)))
		}
		for _, th := range all {
			v, err := tx.View(th.ID)
			if err != nil {
				return nil, err
			}
			w.viewProblems(v, shown, out)
		}
	}
	for _, p := range w.lab.Pipelines(web) {
		if !known[p.ID] && p.Source != "parent_pipeline" {
			*out = append(*out, fmt.Sprintf("nobody heard of pipeline %d", p.ID))
		}
	}
	return shown, nil
}

func (w *world) viewProblems(v kovra.View, shown map[string]string, out *[]string) {
	ends := w.ends(v.Run.Remote)
	for _, m := range bot.Render(v) {
		slot := v.Slots[m.Slot]
		name := fmt.Sprintf("pipeline %d in %s, %s", v.Run.Remote, v.Thread.Channel, m.Slot)
		if v.Subject != nil {
			name = fmt.Sprintf("%s %s, %s", v.Subject.Kind, v.Subject.Key, m.Slot)
		}
		if v.Build != nil {
			name = fmt.Sprintf("build %d in %s, %s", v.Build.ID, v.Thread.Channel, m.Slot)
		}
		if slot.TS == "" {
			*out = append(*out, name+" is not shown")
			continue
		}
		at := w.spot(v.Thread) + slot.TS
		if other := shown[at]; other != "" {
			*out = append(*out, fmt.Sprintf("%s and %s are the same message", name, other))
		}
		shown[at] = name
		got, there := w.slack.Message(w.spot(v.Thread), slot.TS)
		if !there {
			*out = append(*out, name+" is not in Slack")
			continue
		}
		if diff := cmp.Diff(blocksOf(m.Blocks), blocksOf(got.Blocks)); diff != "" || got.Text != m.Text {
			*out = append(*out, fmt.Sprintf("%s differs (-state +Slack): %s", name, diff))
		}
		if at, ok := strings.CutPrefix(m.Slot, "result/"); ok && v.Build == nil && !ends[at] && !w.told[fmt.Sprintf("%d/%s", v.Run.Remote, at)] {
			*out = append(*out, name+" is no end that GitLab ever told")
		}
	}
	for key, s := range v.Slots {
		if at := w.spot(v.Thread) + s.TS; s.TS != "" && shown[at] == "" {
			shown[at] = key // a message whose time is over; it stays
		}
	}
}

// blocksOf is a message's blocks as plain values, without the ids that Slack fills in.
func blocksOf(v any) []map[string]any {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var out []map[string]any
	if json.Unmarshal(text, &out) != nil {
		return nil
	}
	for _, b := range out {
		delete(b, "block_id")
	}
	return out
}

// strangers are messages of the bot that belong to no slot: doubled posts.
func (w *world) strangers(shown map[string]string, out *[]string) {
	for _, channel := range []string{deploys, team, relays, fails} {
		for _, m := range w.slack.Messages(channel) {
			for _, m := range append([]slacksim.Message{m}, w.slack.Replies(channel, m.TS)...) {
				if shown[m.Channel+m.TS] == "" && m.User == slacksim.BotUserID {
					*out = append(*out, "posted twice: "+strings.ReplaceAll(slacksim.Text(m), "\n", " ⏎ "))
				}
			}
		}
	}
}

// startProblems checks that each typed start has exactly one pipeline, or none and an answer that says so.
func (w *world) startProblems(tx *storage.Tx, out *[]string) error {
	made := map[string]int{}
	for _, p := range w.lab.Pipelines(web) {
		for _, v := range p.Variables {
			made[v.Key+"="+v.Value]++
		}
	}
	actions, err := tx.Actions(storage.ActionQuery{Limit: 10000})
	if err != nil {
		return err
	}
	done := 0
	for _, a := range actions {
		if a.Open() || a.State == kovra.ActionWaits {
			*out = append(*out, fmt.Sprintf("action %d (%s) never ended", a.ID, a.Kind))
		}
		if a.Kind == kovra.ActRun && a.State == kovra.ActionDone {
			done++
		}
	}
	for click, n := range made {
		if n > 1 {
			*out = append(*out, fmt.Sprintf("%s started %d pipelines", click, n))
		}
	}
	if len(made) != done {
		*out = append(*out, fmt.Sprintf("%d pipelines were started for %d starts that are done", len(made), done))
	}
	return nil
}
