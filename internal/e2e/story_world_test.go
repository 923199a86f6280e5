package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/slacksim"
)

const (
	// storyPatience is how long a story waits for what must come; on a busy machine a million lines take their time.
	storyPatience = time.Minute
	// storyTick is how often it looks where nobody gives notice.
	storyTick = 15 * time.Millisecond
	// storySecret is the secret of GitLab's webhooks.
	storySecret = "the-hook-secret"
)

// story is the world of one script: a Slack, a GitLab, and the address at which the
// program is reached from outside, whether it lives or not.
type story struct {
	ctx     context.Context //nolint:containedctx // a script has one life, and its commands take no context
	dir     string
	program string
	slack   *slacksim.Server
	lab     *gitlabsim.Server
	client  *http.Client // of the peers and of the script, no shared connections

	slackURL, labURL, publicURL string

	guard   func(peer string, next http.Handler, w http.ResponseWriter, r *http.Request) // stands before each peer, if set, before the program starts
	sending atomic.Bool                                                                  // a webhook may be on its way
	ahead   atomic.Int64                                                                 // how far GitLab's clock is ahead, in nanoseconds: time that a story lets pass

	mu    sync.Mutex
	proc  *process // nil while the program does not run
	log   []byte   // what all its lives wrote to standard error
	paths []string // of the projects, by id
	kept  map[string]slacksim.Message

	browsers map[string]*http.Client // of people, by name
	pages    []string                // that they were shown
	lastPage string
	deployed map[string]int64 // newest deployments of GitLab, by project and environment

	followers map[string]*follower // of logs, by name
	crowd     *crowd
	cluster   *cluster // nil: builds are off

	close func()         // ends this world
	works sync.WaitGroup // what goes on beside the script, until ctx ends
	after []func()       // what is taken away then
}

type storyKey struct{}

// newStory makes the world of one script.
func newStory(ctx context.Context, e *testscript.Env, program string) error {
	s := openStory(ctx, e.WorkDir, program)
	e.Values[storyKey{}] = s
	e.Vars = append(e.Vars, "GITLAB="+s.labURL, "PUBLIC="+s.publicURL, "SECRET="+storySecret, "DB="+filepath.Join(s.dir, "kovra.db"))
	e.Defer(s.close)
	return nil
}

// openStory makes the world that every story begins with: alice, who is an
// administrator of Kovra, bob, and the channel #deploys with both of them.
func openStory(ctx context.Context, dir, program string) *story {
	return openStoryAt(ctx, "127.0.0.1", dir, program)
}

// openStoryAt is openStory with its servers at an address of this machine or network namespace.
func openStoryAt(ctx context.Context, host, dir, program string) *story {
	ctx, cancel := context.WithCancel(ctx)
	transport := &http.Transport{}
	s := &story{ctx: ctx, dir: dir, program: program, client: &http.Client{Transport: transport}, kept: map[string]slacksim.Message{}, followers: map[string]*follower{}}
	front := serveAt(host, s.front(transport))
	s.publicURL = front.URL
	app := ourSlackApp()
	s.slack = slacksim.New(slacksim.Options{
		RequestURL: front.URL, Transport: transport, Scopes: app.OAuth.Scopes.Bot, Events: app.Settings.Events.Bot,
	})
	slackServer := serveAt(host, s.way("Slack", s.slack))
	s.slackURL = slackServer.URL
	s.slack.SetBaseURL(slackServer.URL)
	s.lab = gitlabsim.New(gitlabsim.Options{Now: func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }})
	labServer := serveAt(host, s.way("GitLab", s.lab))
	s.labURL = labServer.URL
	s.lab.SetURL(labServer.URL)
	s.lab.SetWebhookDelivery(s.deliver)
	for _, name := range []string{"alice", "bob"} {
		s.slack.AddUser(slacksim.User{ID: userID(name), Name: name})
		s.lab.AddUser(gitlabsim.User{Username: name, Name: strings.ToUpper(name[:1]) + name[1:]})
	}
	s.addApplication()
	s.slack.AddChannel(slacksim.Channel{ID: channelID("deploys"), Name: "deploys", Members: []string{userID("alice"), userID("bob")}})
	s.works.Go(s.courier)
	s.close = func() {
		s.end()
		cancel()
		for _, take := range s.after {
			take()
		}
		s.works.Wait()
		s.slack.DropSockets()
		for _, server := range []*httptest.Server{front, slackServer, labServer} {
			server.CloseClientConnections()
			server.Close()
		}
		transport.CloseIdleConnections()
	}
	return s
}

// way leads to a peer, past the guard if there is one.
func (s *story) way(peer string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.guard == nil {
			next.ServeHTTP(w, r)
			return
		}
		s.guard(peer, next, w, r)
	})
}

// serveAt is a server on any free port of an address.
func serveAt(host string, h http.Handler) *httptest.Server {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		panic(fmt.Sprintf("listen on %s: %v", host, err))
	}
	server := &httptest.Server{Listener: ln, Config: &http.Server{Handler: h, ReadHeaderTimeout: storyPatience}}
	server.Start()
	return server
}

// front is the public address: it leads to the program, and to nobody while it is dead.
func (s *story) front(transport http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: s.address()})
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
}

// courier sends GitLab's webhooks as they come. Unlike the simulator's own one it leaves
// jobs that are being cancelled alone: a story says when they end.
func (s *story) courier() {
	tick := time.NewTicker(storyTick)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		s.sending.Store(true)
		_ = s.lab.SendAll(s.ctx) // what could not be delivered is lost, as it is with GitLab
		s.sending.Store(false)
	}
}

// address is where the program listens; without one nobody does.
func (s *story) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil || s.proc.address == "" {
		return "127.0.0.1:1"
	}
	return s.proc.address
}

// deliver is GitLab's way of sending webhooks.
func (s *story) deliver(ctx context.Context, url string, h http.Header, body []byte) (int, error) {
	return s.send(ctx, http.MethodPost, url, h, strings.NewReader(string(body)), nil)
}

func (s *story) send(ctx context.Context, method, url string, h http.Header, body io.Reader, answer io.Writer) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, err
	}
	r.Header = h.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if answer == nil {
		answer = io.Discard
	}
	_, err = io.Copy(answer, resp.Body)
	return resp.StatusCode, err
}

// until waits for a condition that nobody gives notice of.
func (s *story) until(cond func() bool) bool {
	end := time.NewTimer(storyPatience)
	defer end.Stop()
	tick := time.NewTicker(storyTick)
	defer tick.Stop()
	for !cond() {
		select {
		case <-end.C:
			return cond()
		case <-tick.C:
		}
	}
	return true
}

// gitlab later DURATION lets time pass in GitLab, where everything else happens within a second.
func gitlabLater(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	d, err := time.ParseDuration(c.args[0])
	s.ahead.Add(int64(d))
	return err
}

// gitlab wait STATUS waits until the pipeline has it.
func gitlabWait(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	var last string
	ok := s.until(func() bool {
		p, err := s.pipeline(c)
		last = p.Status
		return err == nil && p.Status == c.args[0]
	})
	if !ok {
		return errors.New("it is " + last)
	}
	return nil
}

func userID(name string) string {
	return "U0" + strings.ToUpper(strings.TrimPrefix(name, "@"))
}

func channelID(name string) string {
	return "C0" + strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(name, "#"), "-", ""))
}

// storyCommand carries out one line of a script.
type storyCommand func(s *story, c *scriptLine) error

// scriptLine is the rest of a line: words, and options such as in=12.
type scriptLine struct {
	ts      *testscript.TestScript
	neg     bool
	args    []string
	options map[string]string
}

// out writes what the script may look at with stdout and cmp.
func (c *scriptLine) out(text string) {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	fmt.Fprint(c.ts.Stdout(), text)
}

// want checks the number of words.
func (c *scriptLine) want(min, max int) error {
	if len(c.args) < min || max >= 0 && len(c.args) > max {
		return fmt.Errorf("%d words, not %d to %d", len(c.args), min, max)
	}
	return nil
}

func (c *scriptLine) number(i int) (int, error) { return strconv.Atoi(c.args[i]) }

// storyCommands are the commands of scripts: gitlab, slack, kovra, log and web.
func storyCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"gitlab":  storyGroup("gitlab", gitlabCommands, "in", "as", "trace", "source", "inputs", "reason", "target"),
		"slack":   storyGroup("slack", slackCommands, "in", "old"),
		"kovra":   storyGroup("kovra", kovraCommands),
		"log":     storyGroup("log", logCommands, "after", "last"),
		"web":     storyGroup("web", webCommands, "as"),
		"cluster": storyGroup("cluster", clusterCommands, "fail", "hang", "pending", "log", "owner"),
	}
}

// negatable are the commands that know what to do with ! before them.
var negatable = []string{"kovra start", "kovra run", "kovra check", "kovra hides", "slack slash", "slack click", "slack view"}

// storyGroup finds the command by its first word, and its options.
func storyGroup(group string, commands map[string]storyCommand, options ...string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) == 0 || commands[args[0]] == nil {
			ts.Fatalf("no such command: %q", args)
		}
		if neg && !slices.Contains(negatable, group+" "+args[0]) {
			ts.Fatalf("! means nothing before %s %s", group, args[0])
		}
		c := &scriptLine{ts: ts, neg: neg, options: map[string]string{}}
		for _, a := range args[1:] {
			key, value, ok := strings.Cut(a, "=")
			if ok && slices.Contains(options, key) {
				c.options[key] = value
				continue
			}
			c.args = append(c.args, a)
		}
		s := ts.Value(storyKey{}).(*story)
		if err := commands[args[0]](s, c); err != nil {
			ts.Fatalf("%s: %v", strings.Join(args, " "), err)
		}
	}
}
