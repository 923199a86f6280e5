package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kovra.dev/chatops/internal/app"
	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/internal/tektonsim"
	"kovra.dev/chatops/storage"
)

const (
	labURL    = "http://gitlab.sim"
	slackURL  = "http://slack.sim"
	publicURL = "http://kovra.sim"
	secret    = "hook-secret"

	alice   = "UALICE"
	bob     = "UBOB"
	deploys = "CDEPLOYS"
	team    = "CTEAM"
	web     = int64(7)
)

var errKilled = errors.New("killed")

// tally counts, over all seeds, how often each fault and each crash point came to pass.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *tally) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[what] += n
}

// killer ends a life of the program at a point drawn in advance: nothing after it
// touches state or reaches a peer.
type killer struct {
	mu   sync.Mutex
	left int    // points to go; 0: never
	only string // the kind of point that counts; "": every kind
	dead bool
	seen int // commits that were begun
	full int // this one fails, as on a full disk; 0: none
	what *tally
}

// points are all the kinds of places at which the program may die.
var points = []string{
	"before a commit", "after a commit",
	"before a write of Slack", "after a write of Slack", "before a read of Slack", "after a read of Slack",
	"before a write of GitLab", "after a write of GitLab", "before a read of GitLab", "after a read of GitLab",
}

// at passes a point; its error says that the program is dead.
func (k *killer) at(point string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errKilled
	}
	if k.left == 0 || k.only != "" && k.only != point {
		return nil
	}
	k.left--
	if k.left > 0 {
		return nil
	}
	k.dead = true
	k.what.add("crash "+point, 1)
	return errKilled
}

func (k *killer) killed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dead
}

// kill ends the life now.
func (k *killer) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dead = true
}

func (k *killer) interrupt(committed bool) error {
	if committed {
		return k.at("after a commit")
	}
	k.mu.Lock()
	k.seen++
	full := k.seen == k.full
	k.mu.Unlock()
	if full {
		return storage.ErrStuck
	}
	return k.at("before a commit")
}

// deadly is a way to a peer on which the program may die before a call, or after
// it, when the answer is lost with it.
type deadly struct {
	next http.RoundTripper
	k    *killer
	peer string
	bend func(*http.Response)
}

func (d deadly) RoundTrip(r *http.Request) (*http.Response, error) {
	kind := "read"
	if writes(r) {
		kind = "write"
	}
	if err := d.k.at("before a " + kind + " of " + d.peer); err != nil {
		return nil, err
	}
	resp, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := d.k.at("after a " + kind + " of " + d.peer); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	if d.bend != nil {
		d.bend(resp)
	}
	return resp, nil
}

// writes reports whether a request to a peer may change something there.
func writes(r *http.Request) bool {
	return r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "conversations.") && !strings.Contains(r.URL.Path, "auth.test")
}

// sabotage switches off, from outside, what the product relies on; the chaos
// test must notice.
type sabotage struct {
	blindNonce bool // the history never shows metadata
	freshEnds  bool // a repeated delivery tells another time of the end
}

// world is one seed: simulated peers, and the program in one of its lives.
type world struct {
	t     *testing.T
	rnd   *rand.Rand
	slack *slacksim.Server
	lab   *gitlabsim.Server
	cfg   *config.Config
	evil  sabotage
	what  *tally
	off   atomic.Int64      // how far the clock of the program's machine is wrong, in nanoseconds
	sim   *tektonsim.Server // nil: builds are off
	bent  func(peer string, next http.RoundTripper) http.RoundTripper

	mu     sync.Mutex
	app    *app.App // nil while dead
	k      *killer
	cancel context.CancelFunc
	ended  chan error
	clicks int
	seen   map[string]int  // deliveries by key, for sabotage
	told   map[string]bool // ends that GitLab's API told: pipeline/seconds

	readers, gone []*logReader     // pages that are open, and that were closed
	erased        map[int64]string // logs that GitLab has no more, by job
	ledger        ledger
	accounts      bool    // people act with accounts of their own
	deployed      []int64 // deployments of GitLab
	tags          int
	hooked        map[int64]map[string]bool // ends that webhooks told, by pipeline
}

func newWorld(t *testing.T, seed uint64, what *tally, evil sabotage) *world {
	t.Helper()
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), what: what, evil: evil, seen: map[string]int{}, told: map[string]bool{}, erased: map[int64]string{}}
	w.slack = slacksim.New(slacksim.Options{
		BaseURL: slackURL, RequestURL: publicURL, Transport: slacksim.HandlerTransport(http.HandlerFunc(w.front)), Limits: seed%2 == 0,
	})
	w.lab = gitlabsim.New(gitlabsim.Options{})
	w.lab.SetURL(labURL)
	w.lab.SetWebhookDelivery(w.deliver)
	w.populate()
	var more []string
	if w.accounts = seed%3 == 1; w.accounts {
		more = append(settingsOfOAuth(), "KOVRA_LOG_ACCESS=link")
	}
	w.cfg = configuration(t, filepath.Join(quickDir(t), "kovra.db"), more...)
	w.start(&killer{what: what})
	return w
}

// populate fills both peers with what every life of the world begins with.
func (w *world) populate() {
	w.slack.AddUser(slacksim.User{ID: alice, Name: "alice", IsAdmin: true})
	w.slack.AddUser(slacksim.User{ID: bob, Name: "bob"})
	w.slack.AddChannel(slacksim.Channel{ID: deploys, Name: "deploys", Members: []string{alice, bob}})
	w.slack.AddChannel(slacksim.Channel{ID: team, Name: "team", Private: true, Members: []string{alice, slacksim.BotUserID}})
	w.lab.AddUser(gitlabsim.User{ID: 5, Username: "alice", Name: "Alice"})
	w.lab.AddProject(gitlabsim.Project{ID: web, Path: "group/web", Members: map[string]int{"alice": 40, "bob": 30}})
	w.lab.SetCI(web, []string{"build", "test", "deploy"}, []gitlabsim.JobSpec{
		{Name: "build", Stage: "build"},
		{Name: "unit", Stage: "test", Retry: 1},
		{Name: "lint", Stage: "test", AllowFailure: true},
		{Name: "docs", Stage: "test", AllowFailure: true, Trigger: &gitlabsim.TriggerSpec{
			Stages: []string{"pages"}, Jobs: []gitlabsim.JobSpec{{Name: "render", Stage: "pages"}}, Depend: true,
		}},
		{Name: "ship", Stage: "deploy", Manual: true, AllowFailure: true},
	})
	w.lab.CreateBranch(web, "feature", "main", "alice")
	w.people()
}

func configuration(t *testing.T, path string, more ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load(append([]string{
		"KOVRA_DATABASE_URL=sqlite:" + path, "KOVRA_PUBLIC_URL=" + publicURL,
		"KOVRA_SLACK_BOT_TOKEN=xoxb-sim", "KOVRA_SLACK_SIGNING_SECRET=sim-secret", "KOVRA_SLACK_API_URL=" + slackURL + "/api/",
		"KOVRA_GITLAB_URL=" + labURL, "KOVRA_GITLAB_TOKEN=glpat-sim", "KOVRA_GITLAB_WEBHOOK_SECRET=" + secret, "KOVRA_ADMINS=" + alice,
	}, more...), "")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// mortal is a killer drawn by the seed: somewhere among all points, or at one of
// the first of a kind, so that the rare kinds get their turn.
func (w *world) mortal() *killer {
	if w.rnd.IntN(2) == 0 {
		return &killer{left: 10 + w.rnd.IntN(400), what: w.what}
	}
	return &killer{left: 1 + w.rnd.IntN(8), only: points[w.rnd.IntN(len(points))], what: w.what}
}

// start begins a life of the program that ends as k says.
func (w *world) start(k *killer) {
	w.t.Helper()
	toSlack := deadly{next: w.way("Slack", w.slack.Client().Transport), k: k, peer: "Slack"}
	if w.evil.blindNonce {
		toSlack.bend = forgetMetadata
	}
	a, err := app.New(w.t.Context(), w.cfg, app.Options{
		Log:   w.ledger.logger(),
		Slack: toSlack, GitLab: deadly{next: w.way("GitLab", w.lab.Client().Transport), k: k, peer: "GitLab", bend: w.listen}, Interrupt: k.interrupt,
		Cluster: w.wayToCluster(), Now: w.now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	w.mu.Lock()
	w.app, w.k, w.cancel, w.ended = a, k, cancel, ended
	w.mu.Unlock()
	go func() { ended <- a.Run(ctx, nil) }()
	for _, r := range w.readers {
		w.connect(r)
	}
}

// now is the clock of the program's machine.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.off.Load())) }

// way is the way to a peer, bent if this world bends it.
func (w *world) way(peer string, next http.RoundTripper) http.RoundTripper {
	if w.bent == nil {
		return next
	}
	return w.bent(peer, next)
}

func (w *world) wayToCluster() http.RoundTripper {
	if w.sim == nil {
		return nil
	}
	return w.way("Kubernetes", streaming{w.sim})
}

// stop ends the present life: in order, or as it is after a kill.
func (w *world) stop() {
	w.t.Helper()
	w.mu.Lock()
	killed := w.k.killed()
	w.app = nil
	w.mu.Unlock()
	for _, r := range w.readers {
		r.disconnect()
	}
	w.cancel()
	if err := <-w.ended; err != nil && !killed {
		w.t.Errorf("the program did not end well: %v", err)
	}
}

// front is the address of the program: whoever knocks while it is dead gets no answer.
func (w *world) front(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	a, k := w.app, w.k
	w.mu.Unlock()
	if a == nil || k.killed() {
		panic(http.ErrAbortHandler)
	}
	answer := httptest.NewRecorder()
	a.Handler().ServeHTTP(answer, r)
	if k.killed() {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(rw.Header(), answer.Header())
	rw.WriteHeader(answer.Code)
	_, _ = rw.Write(answer.Body.Bytes())
}

// deliver is GitLab's side of a webhook.
func (w *world) deliver(ctx context.Context, url string, h http.Header, body []byte) (int, error) {
	if w.evil.freshEnds {
		h, body = w.disguise(h.Clone(), body)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header = h
	resp, err := slacksim.HandlerTransport(http.HandlerFunc(w.front)).RoundTrip(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// disguise makes a repeated delivery look like news: another key, another time of the end.
func (w *world) disguise(h http.Header, body []byte) (http.Header, []byte) {
	key := h.Get("Idempotency-Key")
	w.mu.Lock()
	w.seen[key]++
	n := w.seen[key]
	w.mu.Unlock()
	var hook map[string]any
	if n == 1 || json.Unmarshal(body, &hook) != nil {
		return h, body
	}
	h.Set("Idempotency-Key", fmt.Sprint(key, "/", n))
	attrs, _ := hook["object_attributes"].(map[string]any)
	if end, ok := attrs["finished_at"].(string); ok {
		at, err := time.Parse("2006-01-02 15:04:05 MST", end)
		if err == nil {
			attrs["finished_at"] = at.Add(time.Duration(n) * time.Second).Format("2006-01-02 15:04:05 MST")
		}
	}
	bent, err := json.Marshal(hook)
	if err != nil {
		return h, body
	}
	return h, bent
}

// listen notes the ends of pipelines that GitLab's API tells.
func (w *world) listen(resp *http.Response) {
	if !strings.Contains(resp.Request.URL.Path, "/pipelines/") {
		return
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body = readCloser{bytes.NewReader(text)}
	var p struct {
		ID       int64     `json:"id"`
		Finished time.Time `json:"finished_at"`
	}
	if err != nil || json.Unmarshal(text, &p) != nil || p.Finished.IsZero() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[fmt.Sprintf("%d/%d", p.ID, p.Finished.Unix())] = true
}

// forgetMetadata makes Slack's history show messages without their metadata.
func forgetMetadata(resp *http.Response) {
	if !strings.Contains(resp.Request.URL.Path, "conversations.") {
		return
	}
	var answer map[string]any
	if json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return
	}
	messages, _ := answer["messages"].([]any)
	for _, m := range messages {
		if m, ok := m.(map[string]any); ok {
			delete(m, "metadata")
		}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return
	}
	resp.Body = readCloser{bytes.NewReader(text)}
	resp.ContentLength = int64(len(text))
	resp.Header.Del("Content-Length")
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
