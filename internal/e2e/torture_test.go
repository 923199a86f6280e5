package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	tortureLife   = time.Second             // a life is at most so long, but for one that waits for its moment
	tortureEarly  = 80 * time.Millisecond   // and may end so soon after its beginning
	tortureDead   = 80 * time.Millisecond   // nobody is there for at most so long
	tortureMoment = 1500 * time.Millisecond // for how long a moment is waited for
	torturePush   = 5 * time.Second         // between two pushes
	tortureAsk    = 10 * time.Second        // between two starts or builds of one person
	torturePeace  = 4 * time.Minute         // for what was missed to be made up for
)

// TestTorture kills the real program again and again while GitLab sends events, people give commands and press
// buttons, and builds run (M7). GitLab sends nothing twice: what comes while nobody is there is lost, and must be read
// again. In the end nothing may be lost or doubled.
//
// KOVRA_TEST_KILLS is the number of kills, KOVRA_TEST_SEED what is drawn; the seed of a run is printed.
func TestTorture(t *testing.T) {
	kills := drawn(t, "KOVRA_TEST_KILLS", map[bool]uint64{true: 2, false: 4}[testing.Short()])
	seed := drawn(t, "KOVRA_TEST_SEED", rand.Uint64()%1_000_000)
	t.Logf("KOVRA_TEST_SEED=%d KOVRA_TEST_KILLS=%d", seed, kills)
	x := newTorture(t, seed)
	x.begin()
	for range kills {
		x.live(x.draw())
		x.pause(t.Context(), x.rnd, tortureDead)
	}
	x.endLoad()
	x.live(moment{})
	x.makePeace()
	for _, problem := range x.problems() {
		t.Error(problem)
	}
	x.report()
	if t.Failed() {
		x.keepLog()
	}
}

// loadOnly skips a test that takes more of a machine than people expect of `go test`, unless KOVRA_TEST_LOAD is set.
func loadOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("KOVRA_TEST_LOAD") == "" {
		t.Skip("KOVRA_TEST_LOAD is not set: floods and full disks are not played")
	}
}

func drawn(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// moment is when a life of the program ends.
type moment struct {
	after time.Duration // its beginning if early, else since it was ready; 0 and no peer: not at all
	early bool

	peer string // at a request that changes something at a peer
	nth  int32
	done bool // after it was done and before its answer; else before it was done
}

func (m moment) String() string {
	switch {
	case m.peer != "" && m.done:
		return "between effect and answer of " + m.peer
	case m.peer != "":
		return "before an effect at " + m.peer
	case m.early:
		return "while it starts"
	default:
		return "at a random time"
	}
}

// torture is the world of one run: the peers and the program of a story, and the deeds and the judge of the chaos test.
type torture struct {
	*story
	t    *testing.T
	w    *world // what happens at GitLab, and the judge
	rnd  *rand.Rand
	seed uint64
	what *tally

	life     atomic.Pointer[life]
	load     context.CancelFunc
	workers  sync.WaitGroup
	ready    []time.Duration
	restarts int
	failed   bool // the newest webhook was lost; the courier's

	mu       sync.Mutex
	promised map[string]bool // starts of which somebody was told that they are on their way, by variable
}

// life is one life of the program.
type life struct {
	*process
	moment moment
	left   atomic.Int32 // requests to go
	once   sync.Once
	killed chan struct{}
	up     chan struct{} // closed when it is ready
}

func newTorture(t *testing.T, seed uint64) *torture {
	t.Helper()
	x := &torture{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), seed: seed, what: &tally{count: map[string]int{}}, promised: map[string]bool{}}
	x.story = openStory(t.Context(), quickDir(t), buildProgram(t))
	t.Cleanup(x.close)
	x.guard = x.watch
	x.lab.SetWebhookDelivery(x.deliver)
	if err := clusterBegin(x.story, &scriptLine{}); err != nil {
		t.Fatal(err)
	}
	x.w = x.person(1)
	x.w.populate()
	return x
}

// person is somebody with chances of their own; only one goroutine may be it.
func (x *torture) person(n uint64) *world {
	return &world{
		t: x.t, slack: x.slack, lab: x.lab, rnd: rand.New(rand.NewPCG(x.seed, n)), what: x.what,
		seen: map[string]int{}, told: map[string]bool{}, erased: map[int64]string{},
	}
}

// environment is that of a story, with the people of the chaos test.
func (x *torture) environment() []string {
	return x.story.environment([]string{"KOVRA_ADMINS=" + alice, "KOVRA_LOG_FORMAT=json"})
}

// begin links the project in peace, and starts the load.
func (x *torture) begin() {
	x.t.Helper()
	x.live(moment{})
	x.w.subscribe()
	if err := kovraSettle(x.story, nil); err != nil {
		x.t.Fatal(err)
	}
	x.kill("in peace")
	ctx, cancel := context.WithCancel(x.t.Context())
	x.load = cancel
	x.workers.Go(func() { x.gitlabWorks(ctx) })
	for n := range uint64(2) {
		x.workers.Go(func() { x.somebodyWorks(ctx, x.person(n+2)) })
	}
}

func (x *torture) endLoad() {
	x.load()
	x.workers.Wait()
}

// pause waits for a while that is drawn; it reports false when ctx has ended.
func (x *torture) pause(ctx context.Context, rnd *rand.Rand, most time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(rand.N(time.Duration(rnd.Int64N(int64(most))) + 1)):
		return true
	}
}

// gitlabWorks lets things happen at GitLab, not more than Slack's budgets allow to show.
func (x *torture) gitlabWorks(ctx context.Context) {
	w, pushed := x.w, time.Time{}
	often := []func(){w.work, w.work, w.work, w.work, w.work, w.finish, w.write, w.review}
	seldom := []func(){w.erase, w.clickAtGitLab, w.publish}
	for x.pause(ctx, w.rnd, 100*time.Millisecond) {
		if time.Since(pushed) > torturePush {
			w.push()
			pushed = time.Now()
		}
		often[w.rnd.IntN(len(often))]()
		if w.rnd.IntN(20) == 0 {
			seldom[w.rnd.IntN(len(seldom))]()
		}
	}
}

// somebodyWorks lets somebody press buttons and type. That nobody answers is a part of it.
func (x *torture) somebodyWorks(ctx context.Context, w *world) {
	asked := time.Now()
	deeds := []func(){w.clickSomething, w.clickSomething, w.doubleClick, w.mention, w.watchOne, w.lookAtOnly}
	for x.pause(ctx, w.rnd, 400*time.Millisecond) {
		if time.Since(asked) > tortureAsk {
			_, _ = x.slack.Slash(ctx, bob, deploys, "/build trigger web")
			x.startTyped(ctx, w)
			asked = time.Now()
		}
		deeds[w.rnd.IntN(len(deeds))]()
	}
}

// lookAtOnly opens App Home, which the program draws while it dies.
func (w *world) lookAtOnly() { _ = w.slack.OpenHome(w.t.Context(), bob) }

// startTyped starts a pipeline that can be told from all others, and remembers whether that was promised.
func (x *torture) startTyped(ctx context.Context, w *world) {
	w.clicks++
	value := fmt.Sprintf("CLICK=%d", w.rnd.Int64())
	seen, err := x.slack.Slash(ctx, bob, deploys, "/pipeline run web feature "+value)
	if err != nil || seen.Error != "" {
		return // whoever gets no answer knows nothing
	}
	text := seen.Text()
	if strings.Contains(text, "Starting a pipeline") || strings.Contains(text, "is started") {
		x.mu.Lock()
		x.promised[value] = true
		x.mu.Unlock()
	}
}

// draw draws how a life ends.
func (x *torture) draw() moment {
	peers := []string{"Slack", "Slack", "Slack", "GitLab", "GitLab", "Kubernetes"}
	switch x.rnd.IntN(6) {
	case 0:
		return moment{early: true, after: time.Duration(x.rnd.Int64N(int64(tortureEarly)))}
	case 1, 2:
		return moment{after: time.Duration(x.rnd.Int64N(int64(tortureLife)))}
	default:
		return moment{peer: peers[x.rnd.IntN(len(peers))], nth: 1 + x.rnd.Int32N(3), done: x.rnd.IntN(2) == 0}
	}
}

// live starts the program and kills it at its moment; without a moment it lives on.
func (x *torture) live(m moment) {
	x.t.Helper()
	l := &life{moment: m, killed: make(chan struct{}), up: make(chan struct{})}
	l.left.Store(m.nth)
	cmd := exec.CommandContext(x.ctx, x.program, "serve")
	cmd.Dir, cmd.Env = x.dir, x.environment()
	born := time.Now()
	p, told, err := x.launch(cmd)
	if err != nil {
		x.t.Fatal(err)
	}
	l.process = p
	x.story.mu.Lock()
	x.proc = p
	x.story.mu.Unlock()
	x.life.Store(l)
	if m.early {
		defer time.AfterFunc(m.after, func() { x.kill(m.String()) }).Stop()
	}
	x.restarts++
	if !x.awaitReady(l, told) {
		return
	}
	x.ready = append(x.ready, time.Since(born))
	close(l.up)
	if m == (moment{}) {
		return
	}
	wait := m.after
	if m.peer != "" || m.early {
		wait = tortureMoment
	}
	select {
	case <-l.killed:
	case <-p.ended:
		x.mustBeKilled(l)
	case <-time.After(wait):
		how := m.String()
		if m.peer != "" {
			how = "at a random time" // the moment did not come
		}
		x.kill(how)
	}
}

// awaitReady waits until the program is ready. It reports false when it was killed before.
func (x *torture) awaitReady(l *life, told <-chan string) bool {
	x.t.Helper()
	select {
	case address := <-told:
		x.story.mu.Lock()
		l.address = address
		x.story.mu.Unlock()
	case <-l.ended:
		x.mustBeKilled(l)
		return false
	}
	for {
		code, err := x.send(x.ctx, http.MethodGet, "http://"+l.address+"/readyz", nil, nil, nil)
		if err == nil && code == http.StatusOK {
			return true
		}
		select {
		case <-l.ended:
			x.mustBeKilled(l)
			return false
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// mustBeKilled says so if a life ended by itself.
func (x *torture) mustBeKilled(l *life) {
	x.t.Helper()
	select {
	case <-l.killed:
	case <-time.After(10 * time.Second):
		x.keepLog()
		x.t.Fatalf("the program ended by itself: %v", l.cmd.ProcessState)
	}
}

// kill ends the present life, once.
func (x *torture) kill(how string) {
	l := x.life.Load()
	l.once.Do(func() {
		_ = l.cmd.Process.Kill() // it may have ended
		<-l.ended
		x.story.mu.Lock()
		x.proc = nil
		x.story.mu.Unlock()
		x.what.add("killed "+how, 1)
		close(l.killed)
	})
}

// watch stands before the peers: it is where lives end in the middle of a request.
func (x *torture) watch(peer string, next http.Handler, w http.ResponseWriter, r *http.Request) {
	l := x.life.Load()
	if l == nil || l.moment.peer != peer || !writes(r) || l.left.Add(-1) != 0 {
		x.pass(peer, next, w, r)
		return
	}
	if l.moment.done {
		next.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	}
	x.kill(l.moment.String())
	panic(http.ErrAbortHandler)
}

// pass lets a request through, and notes the ends of pipelines that GitLab tells.
func (x *torture) pass(peer string, next http.Handler, w http.ResponseWriter, r *http.Request) {
	if peer != "GitLab" || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/pipelines/") {
		next.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	resp := answer.Result()
	resp.Request = r
	x.w.listen(resp)
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer.Body.Bytes())
}

// deliver sends a webhook. GitLab switches a hook off after four failures in a row, which would end the load; so one is lost, and what
// comes after it is held, as by a proxy, until somebody answers it.
func (x *torture) deliver(ctx context.Context, url string, h http.Header, body []byte) (int, error) {
	for {
		if x.failed {
			x.awaitUp(ctx)
		}
		code, err := x.story.deliver(ctx, url, h, body)
		held := x.failed && ctx.Err() == nil
		x.failed = err != nil || code != http.StatusOK
		if !x.failed || !held {
			return code, err
		}
	}
}

// awaitUp waits for a life that is ready and was not killed yet.
func (x *torture) awaitUp(ctx context.Context) {
	tick := time.NewTicker(storyTick)
	defer tick.Stop()
	for {
		if l := x.life.Load(); l != nil && closed(l.up) && !closed(l.killed) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// makePeace ends all that moves, and waits until the program has caught up.
func (x *torture) makePeace() {
	x.t.Helper()
	for _, p := range x.lab.Pipelines(web) {
		if !slices.Contains([]string{"success", "failed", "canceled", "skipped"}, p.Status) {
			_ = x.lab.FinishPipeline(web, p.ID, "success") // one that waits for somebody stays as it is
		}
	}
	begun := time.Now()
	x.t.Logf("at the last start: %s", x.dirty())
	for quiet := 0; quiet < 3; { // what moves from one queue to the next may not be seen in either
		last := x.behind()
		quiet++
		if last != "" {
			quiet = 0
		}
		if time.Since(begun) > torturePeace {
			x.keepLog()
			x.t.Fatalf("after %v it has not caught up: %s", torturePeace, last)
		}
		<-time.After(100 * time.Millisecond)
	}
	x.t.Logf("all was caught up with %v after the last start", time.Since(begun).Round(100*time.Millisecond))
	if err := x.signal(os.Interrupt); err != nil {
		x.t.Error(err)
	}
}

// keepLog keeps what the program logged, for whoever looks for the reason.
func (x *torture) keepLog() {
	f, err := os.CreateTemp("", "kovra-torture-*.log") // it shall outlive the test
	if err != nil {
		x.t.Log(err)
		return
	}
	_, err = f.WriteString(x.logged())
	x.t.Logf("what the program logged is in %s (%v)", f.Name(), err)
	_ = f.Close()
}

// report prints the figures of M7.
func (x *torture) report() {
	slices.Sort(x.ready)
	n := len(x.ready)
	x.t.Logf("%d starts, %d of them ready: p50 %v, max %v after the start", x.restarts, n, x.ready[n/2].Round(time.Millisecond), x.ready[n-1].Round(time.Millisecond))
	kept, lost := 0, 0
	for _, d := range x.lab.Deliveries() {
		if d.Status == http.StatusOK {
			kept++
		} else {
			lost++
		}
	}
	log := x.logged()
	x.t.Logf("%d pipelines, %d events taken and %d lost on the way; %d posts, %d edits in Slack; %d posts of unknown end adopted, %d posted anew",
		len(x.lab.Pipelines(web)), kept, lost, x.done("chat.postMessage"), x.done("chat.update"),
		strings.Count(log, `"adopted":true`), strings.Count(log, `"adopted":false`))
	for _, k := range slices.Sorted(maps.Keys(x.what.count)) {
		x.t.Logf("%6d %s", x.what.count[k], k)
	}
	for _, how := range []string{"at a random time", "between effect and answer of Slack", "before an effect at Slack"} {
		if x.what.count["killed "+how] == 0 && x.restarts > 100 {
			x.t.Errorf("nothing was killed %s", how)
		}
	}
}

func (x *torture) done(method string) int {
	n := 0
	for _, c := range x.slack.Calls() {
		if c.Method == method && c.Outcome == "ok" {
			n++
		}
	}
	return n
}
