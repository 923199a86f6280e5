package gitlab

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

const (
	testURL   = "https://gitlab.example.com"
	testToken = "glpat-sim"
)

// world is a simulated GitLab with one project, and a client of it.
type world struct {
	*Client
	sim *gitlabsim.Server
	web *gitlabsim.ProjectHandle
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sim := gitlabsim.New(gitlabsim.Options{})
	web := sim.AddProject(gitlabsim.Project{Path: "group/web"})
	web.SetCI([]string{"build", "test", "deploy"}, []gitlabsim.JobSpec{
		{Name: "compile", Stage: "build"},
		{Name: "unit", Stage: "test"},
		{Name: "lint", Stage: "test", AllowFailure: true},
		{Name: "release", Stage: "deploy", Manual: true, AllowFailure: true},
	})
	return &world{Client: newClient(t, sim.Client()), sim: sim, web: web}
}

func newClient(t *testing.T, h *http.Client) *Client {
	t.Helper()
	c, err := New(Options{URL: testURL, Token: fixed(testToken), HTTP: h})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// transport answers requests by hand, for what the simulator does not play.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(r *http.Request, code int, body string, header ...string) *http.Response {
	w := httptest.NewRecorder()
	for i := 0; i+1 < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(code)
	_, _ = w.WriteString(body)
	resp := w.Result()
	resp.Request = r
	return resp
}

// always answers every request alike and counts them.
func always(t *testing.T, calls *int, code int, body string, header ...string) *Client {
	t.Helper()
	return newClient(t, &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		*calls++
		return answer(r, code, body, header...), nil
	})})
}

func wantKind(t *testing.T, err error, want kovra.ErrorKind) *kovra.Error {
	t.Helper()
	e, ok := errors.AsType[*kovra.Error](err)
	if !ok {
		t.Fatalf("got error %v (%T), want a *kovra.Error of kind %s", err, err, want)
	}
	if e.Kind != want {
		t.Fatalf("got kind %s of %v, want %s", e.Kind, err, want)
	}
	if e.Public == "" || strings.Contains(err.Error(), testToken) {
		t.Fatalf("error without a sentence, or with the token: %v", err)
	}
	return e
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{
		{URL: "", Token: fixed("x")},
		{URL: "gitlab.com", Token: fixed("x")},
		{URL: "ftp://gitlab.com", Token: fixed("x")},
		{URL: "https://me:secret@gitlab.com", Token: fixed("x")},
		{URL: "https://gitlab.com?x=1", Token: fixed("x")},
		{URL: "https://gitlab.com", Token: fixed(" ")},
	} {
		_, err := New(o)
		wantKind(t, err, kovra.Invalid)
	}
	for _, u := range []string{"https://gitlab.com/", "https://gitlab.com/api/v4", "https://host/gitlab/"} {
		if _, err := New(Options{URL: u, Token: fixed("x")}); err != nil {
			t.Errorf("New(%q): %v", u, err)
		}
	}
}

func TestBaseBelowAPath(t *testing.T) {
	var got []string
	c, err := New(Options{URL: "https://host/gitlab/", Token: fixed("x"), HTTP: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.URL.Path)
		return answer(r, 200, `{"id":7}`), nil
	})}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Project(t.Context(), "7"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Trace(t.Context(), 7, 8); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"/gitlab/api/v4/projects/7", "/gitlab/api/v4/projects/7/jobs/8/trace"} {
		if got[i] != want {
			t.Errorf("got path %s, want %s", got[i], want)
		}
	}
}

func TestMeIsAskedOnce(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		me, err := w.Me(t.Context())
		if err != nil || me.Username != gitlabsim.BotUsername || me.ID == 0 {
			t.Fatalf("got %+v, %v", me, err)
		}
	}
	if n := w.sim.CallCount("GET /user"); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	w = newWorld(t)
	w.sim.RevokeToken(testToken)
	_, err := w.Me(t.Context())
	e := wantKind(t, err, kovra.Denied)
	if !strings.Contains(e.Public, "Token was revoked") {
		t.Errorf("GitLab's reason is missing: %s", e.Public)
	}
}

func TestErrorKinds(t *testing.T) {
	tests := []struct {
		name   string
		code   int
		body   string
		header []string
		read   kovra.ErrorKind
		post   kovra.ErrorKind
		public string // of the read
		reads  int    // requests that one read makes
	}{
		{"bad token", 401, `{"message":"401 Unauthorized"}`, nil, kovra.Denied, kovra.Denied, "401 Unauthorized", 1},
		{"role", 403, `{"message":"403 Forbidden"}`, nil, kovra.Denied, kovra.Denied, "GitLab does not let the bot read job 7: 403 Forbidden.", 1},
		{"missing", 404, `{"message":"404 Not found"}`, nil, kovra.NotFound, kovra.NotFound, "GitLab knows no job 7, or", 1},
		{"by field", 400, `{"message":{"base":["Reference not found"],"url":["is blocked","is long"]}}`, nil, kovra.Invalid, kovra.Invalid, "Reference not found, url is blocked, is long.", 1},
		{"parameter", 422, `{"error":"ref is missing"}`, nil, kovra.Invalid, kovra.Invalid, "ref is missing.", 1},
		{"no json", 400, `<html>`, nil, kovra.Invalid, kovra.Invalid, "400 Bad Request", 1},
		{"odd json", 400, `{"message":7}`, nil, kovra.Invalid, kovra.Invalid, "400 Bad Request", 1},
		{"conflict", 409, `{"message":"Lock exists!"}`, nil, kovra.Conflict, kovra.Conflict, "Lock exists!", 1},
		{"limit", 429, `Retry later`, []string{"Retry-After", "30"}, kovra.Unavailable, kovra.Unavailable, "asks to wait 30 s", 1},
		{"limit without a time", 429, ``, nil, kovra.Unavailable, kovra.Unavailable, "may be asked.", 1},
		{"maintenance", 503, `<html>`, []string{"Retry-After", "60"}, kovra.Unavailable, kovra.Unclear, "503 Service Unavailable", 1},
		{"proxy", 502, `<html>`, nil, kovra.Unavailable, kovra.Unclear, "502 Bad Gateway", 2},
		{"fault", 500, `{"message":"500 Internal Server Error"}`, nil, kovra.Unavailable, kovra.Unclear, "500 Internal", 2},
		{"elsewhere", 302, ``, []string{"Location", "https://other.example.com/"}, kovra.Invalid, kovra.Invalid, "redirects", 1},
		{"not gitlab", 200, `<html>`, nil, kovra.Unavailable, kovra.Unclear, "could not be read", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				c := always(t, &calls, tt.code, tt.body, tt.header...)
				_, _, err := c.Job(t.Context(), 1, 7)
				e := wantKind(t, err, tt.read)
				if !strings.Contains(e.Public, tt.public) {
					t.Errorf("got %q, want it to hold %q", e.Public, tt.public)
				}
				if calls != tt.reads {
					t.Errorf("a read made %d requests, want %d", calls, tt.reads)
				}
				calls = 0
				if tt.code == http.StatusTooManyRequests && e.Retry > 0 {
					_, _, err := c.Job(t.Context(), 1, 8)
					if wantKind(t, err, kovra.Unavailable).Retry != e.Retry || calls != 0 {
						t.Errorf("GitLab was asked again before its time: %d requests, %v", calls, err)
					}
				}
				time.Sleep(e.Retry)
				_, _, err = c.CreatePipeline(t.Context(), 1, "main", nil, nil)
				wantKind(t, err, tt.post)
				if calls != 1 {
					t.Errorf("a POST made %d requests", calls)
				}
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name   string
		header []string
		want   time.Duration
	}{
		{"seconds", []string{"Retry-After", "7"}, 7 * time.Second},
		{"date", []string{"Retry-After", now.Add(time.Minute).Format(http.TimeFormat)}, time.Minute},
		{"past date", []string{"Retry-After", now.Add(-time.Minute).Format(http.TimeFormat)}, 0},
		{"reset", []string{"RateLimit-Reset", "1777636830"}, 30 * time.Second},
		{"too long", []string{"Retry-After", "86400"}, longestWait},
		{"nonsense", []string{"Retry-After", "soon"}, 0},
		{"none", nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			c := always(t, &calls, 429, "Retry later", tt.header...)
			c.now = func() time.Time { return now }
			e := wantKind(t, c.CancelPipeline(t.Context(), 1, 2), kovra.Unavailable)
			if e.RetryAfter() != tt.want {
				t.Errorf("got %s, want %s", e.RetryAfter(), tt.want)
			}
			if calls != 1 {
				t.Errorf("asked %d times", calls)
			}
		})
	}
}

func TestRateLimitIsLeftToTheCaller(t *testing.T) {
	w := newWorld(t)
	w.sim.Fault(gitlabsim.RateLimit("GET /projects/:id", 20*time.Second))
	start := time.Now()
	_, err := w.Project(t.Context(), "group/web")
	if e := wantKind(t, err, kovra.Unavailable); e.RetryAfter() != 20*time.Second {
		t.Errorf("got Retry %s", e.RetryAfter())
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("slept %s inside", took)
	}
}

func TestReadsAreRepeatedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.sim.Fault(gitlabsim.Status("GET /projects/:id", 500), gitlabsim.LoseReply("GET /user"))
		if _, err := w.Project(t.Context(), "group/web"); err != nil {
			t.Errorf("one 500: %v", err)
		}
		if _, err := w.Me(t.Context()); err != nil {
			t.Errorf("one lost answer: %v", err)
		}
		w.sim.Fault(gitlabsim.LoseReply("GET /projects/:id").Times(2))
		_, err := w.Project(t.Context(), "group/web")
		wantKind(t, err, kovra.Unavailable)
	})
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.sim.Fault(gitlabsim.Delay("*", time.Minute).Times(2))
		start := time.Now()
		_, err := w.Me(t.Context())
		e := wantKind(t, err, kovra.Unavailable)
		if !strings.Contains(e.Public, "in time") || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != defaultTimeout {
			t.Errorf("took %s, want %s", took, defaultTimeout)
		}
		_, _, err = w.CreatePipeline(t.Context(), w.web.ID, "main", nil, nil)
		wantKind(t, err, kovra.Unclear)
	})
}

// A POST whose connection never came about is certainly not done; one that ended
// after it was sent may be.
func TestPostWithoutConnection(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	url := gone.URL
	gone.Close()
	c, err := New(Options{URL: url, Token: fixed(testToken), HTTP: &http.Client{Transport: &http.Transport{}}})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.CreatePipeline(t.Context(), 1, "main", nil, nil)
	if e := wantKind(t, err, kovra.Unavailable); !strings.Contains(e.Public, "could not be reached") {
		t.Errorf("got %q", e.Public)
	}

	var calls atomic.Int32
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	}))
	defer cut.Close()
	c, err = New(Options{URL: cut.URL, Token: fixed(testToken)})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.CreatePipeline(t.Context(), 1, "main", nil, nil)
	wantKind(t, err, kovra.Unclear)
	if n := calls.Load(); n != 1 {
		t.Errorf("posted %d times", n)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantKind(t, c.RetryPipeline(ctx, 1, 2), kovra.Unavailable)
}

func TestRedirects(t *testing.T) {
	var strayed atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Store(true) }))
	defer other.Close()
	var requests atomic.Int32
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch r.URL.Path {
		case "/api/v4/projects/1":
			http.Redirect(w, r, "/api/v4/projects/2", http.StatusMovedPermanently)
		case "/api/v4/projects/2":
			_, _ = io.WriteString(w, `{"id":2}`)
		case "/api/v4/projects/3":
			http.Redirect(w, r, other.URL, http.StatusFound)
		default:
			http.Redirect(w, r, "/api/v4/projects/2", http.StatusFound)
		}
	}))
	defer own.Close()
	c, err := New(Options{URL: own.URL, Token: fixed(testToken)})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Project(t.Context(), "1"); err != nil || p.ID != 2 {
		t.Errorf("a moved project: got %+v, %v", p, err)
	}
	_, err = c.Project(t.Context(), "3")
	wantKind(t, err, kovra.Invalid)
	if strayed.Load() {
		t.Error("the token went to another host")
	}
	before := requests.Load()
	_, _, err = c.CreatePipeline(t.Context(), 4, "main", nil, nil)
	wantKind(t, err, kovra.Invalid)
	if n := requests.Load() - before; n != 1 {
		t.Errorf("a redirected POST made %d requests", n)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	c := newClient(t, &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		resp := answer(r, 200, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"name":"`), endless{}))
		return resp, nil
	})})
	_, err := c.Project(t.Context(), "1")
	wantKind(t, err, kovra.Unavailable)
	if !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestSecretsStayHidden(t *testing.T) {
	calls := 0
	c := always(t, &calls, 400, `{"message":["value hunter22 of A is odd, token `+testToken+`, 1 is short"]}`)
	_, _, err := c.CreatePipeline(t.Context(), 1, "main", []Variable{{"A", "hunter22"}, {"B", "1"}}, nil)
	e := wantKind(t, err, kovra.Invalid)
	if strings.Contains(err.Error(), "hunter22") || !strings.Contains(e.Public, "value [hidden] of A is odd, token [hidden], 1 is short") {
		t.Errorf("got %v", err)
	}
	c = always(t, &calls, 400, `{"message":"`+strings.Repeat("long ", 500)+`"}`)
	if e := wantKind(t, c.CancelJob(t.Context(), 1, 2), kovra.Invalid); len(e.Public) > 500 {
		t.Errorf("message of %d bytes was repeated whole", len(e.Public))
	}
}

// fixed is a token that never changes.
func fixed(token string) func() string { return func() string { return token } }

// TestTokenMayChange: the next call is made with the token as it is then, traces too, and as whoever it belongs to.
func TestTokenMayChange(t *testing.T) {
	w := newWorld(t)
	token := testToken
	c, err := New(Options{URL: testURL, Token: func() string { return token }, HTTP: w.sim.Client()})
	must(t, err)
	_, err = c.Me(t.Context())
	must(t, err)
	w.sim.AddUser(gitlabsim.User{Username: "group_bot"})
	w.sim.AddToken("group_bot", "glpat-new")
	w.sim.RevokeToken(testToken)
	_, err = c.Project(t.Context(), "group/web")
	wantKind(t, err, kovra.Denied)

	token = "glpat-new"
	me, err := c.Me(t.Context())
	if err != nil || me.Username != "group_bot" {
		t.Errorf("got %+v, %v; want the user of the new token", me, err)
	}
	_, err = c.Trace(t.Context(), w.web.ID, 1)
	wantKind(t, err, kovra.NotFound) // the token is taken; there is no such job
}
