package gitlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
)

// connect lets a user authorize an application and returns the access token.
func (w *world) connect(t *testing.T, user string, scope string) string {
	t.Helper()
	const back = "https://kovra.example.com/back"
	w.sim.AddApplication(gitlabsim.Application{ClientID: "kovra", Secret: "s", RedirectURIs: []string{back}, Scopes: []string{"api", "read_user", "read_api"}})
	ask := url.Values{"client_id": {"kovra"}, "redirect_uri": {back}, "response_type": {"code"}, "scope": {scope}}
	to, err := w.sim.Authorize(t.Context(), testURL+"/oauth/authorize?"+ask.Encode(), user)
	must(t, err)
	u, err := url.Parse(to)
	must(t, err)
	resp, err := w.sim.Client().PostForm(testURL+"/oauth/token", url.Values{
		"client_id": {"kovra"}, "client_secret": {"s"}, "grant_type": {"authorization_code"}, "redirect_uri": {back}, "code": {u.Query().Get("code")},
	})
	must(t, err)
	defer resp.Body.Close()
	var pair struct {
		Access string `json:"access_token"`
	}
	must(t, json.NewDecoder(resp.Body).Decode(&pair))
	return pair.Access
}

// as is a client of a person with a role in the project; 0 is none.
func (w *world) as(t *testing.T, user string, level int) *Client {
	t.Helper()
	w.sim.AddUser(gitlabsim.User{Username: user, Email: user + "@private.example", PublicEmail: user + "@public.example"})
	w.web.SetMember(user, level)
	c, err := w.As(w.connect(t, user, "api"))
	must(t, err)
	return c
}

// wantPersonal is wantKind for an error whose sentence speaks to the person and not of the bot.
func wantPersonal(t *testing.T, c *Client, err error, want kovra.ErrorKind, words string) {
	t.Helper()
	e := wantKind(t, err, want)
	if !strings.Contains(e.Public, words) || strings.Contains(e.Public, "bot") {
		t.Errorf("got %q, want it to hold %q and no bot", e.Public, words)
	}
	if strings.Contains(err.Error(), c.token()) {
		t.Errorf("the token is in the error: %v", err)
	}
}

func TestAsActsAsThePerson(t *testing.T) {
	w := newWorld(t)
	alice := w.as(t, "alice", gitlabsim.Developer)
	id, _, err := alice.CreatePipeline(t.Context(), w.web.ID, "main", nil, nil)
	must(t, err)
	if p := w.sim.Pipeline(w.web.ID, id); p.User != "alice" {
		t.Errorf("the pipeline is %s's", p.User)
	}
	me, err := alice.Self(t.Context())
	must(t, err)
	want := User{
		GitLabUser: kovra.GitLabUser{ID: me.ID, Username: "alice", Name: "alice"}, Email: "alice@private.example", Confirmed: true,
		PublicEmail: "alice@public.example",
	}
	if d := cmp.Diff(want, me); d != "" || me.ID == 0 {
		t.Error(d)
	}
	seen, err := w.User(t.Context(), me.ID)
	must(t, err)
	if seen.Email != "" || seen.Confirmed || seen.PublicEmail != "alice@public.example" {
		t.Errorf("the bot sees %+v", seen)
	}
	bot, err := alice.User(t.Context(), 1)
	must(t, err)
	if !bot.Bot {
		t.Errorf("got %+v, want a bot", bot)
	}
	_, err = w.User(t.Context(), 4711)
	wantKind(t, err, kovra.NotFound)
	if _, err := w.As(" "); kovra.KindOf(err) != kovra.Invalid {
		t.Errorf("an empty token: %v", err)
	}
}

func TestTheLogIsReadAsThePerson(t *testing.T) {
	w := newWorld(t)
	_, ref := w.web.Push("main", "Work", "bob")
	job := w.sim.Jobs(w.web.ID, ref.ID)[0].ID
	must(t, w.sim.StartJob(job))
	must(t, w.sim.AppendTrace(job, "hello\n"))
	body, err := w.as(t, "alice", gitlabsim.Reporter).Trace(t.Context(), w.web.ID, job)
	must(t, err)
	defer body.Close()
	text, err := io.ReadAll(body)
	must(t, err)
	if string(text) != "hello\n" {
		t.Errorf("got %q", text)
	}
	stranger := w.as(t, "eve", 0)
	_, err = stranger.Trace(t.Context(), w.web.ID, job)
	wantPersonal(t, stranger, err, kovra.NotFound, "you may not see it")
}

func TestRefusalsSpeakToThePerson(t *testing.T) {
	w := newWorld(t)
	_, ref := w.web.Push("main", "Work", "bob")
	rita, eve, dev := w.as(t, "rita", gitlabsim.Reporter), w.as(t, "eve", 0), w.as(t, "dev", gitlabsim.Developer)
	wantPersonal(t, rita, rita.CancelPipeline(t.Context(), w.web.ID, ref.ID), kovra.Denied, fmt.Sprintf("does not let you cancel pipeline %d", ref.ID))
	wantPersonal(t, eve, eve.CancelPipeline(t.Context(), w.web.ID, ref.ID), kovra.NotFound, "or you may not see it")
	_, err := dev.EnsureHook(t.Context(), w.web.ID, ours)
	wantPersonal(t, dev, err, kovra.Denied, "You may not manage the webhooks")
	w.sim.SetVariablesRole(w.web.ID, "maintainer")
	_, _, err = dev.CreatePipeline(t.Context(), w.web.ID, "main", []Variable{{"A", "b"}}, nil)
	wantPersonal(t, dev, err, kovra.Invalid, "does not let you set variables")
	w.sim.SetBlocked("dev", true)
	_, err = dev.Self(t.Context())
	wantPersonal(t, dev, err, kovra.Denied, "Your account has been blocked")
	c, err := w.As(w.connect(t, "rita", "read_user"))
	must(t, err)
	_, err = c.Level(t.Context(), w.web.ID)
	wantPersonal(t, c, err, kovra.Denied, "does not let you read your role")
}

func TestADeadTokenIsTheEndOfTheConnection(t *testing.T) {
	for name, kill := range map[string]func(*gitlabsim.Server, string){
		"expired": (*gitlabsim.Server).ExpireTokens, "revoked": (*gitlabsim.Server).RevokeTokens,
	} {
		w := newWorld(t)
		alice := w.as(t, "alice", gitlabsim.Developer)
		kill(w.sim, "alice")
		_, err := alice.Self(t.Context())
		wantPersonal(t, alice, err, kovra.Unconnected, "connect it again")
		if !errors.Is(err, kovra.ErrToken) {
			t.Errorf("%s: %v is not ErrToken", name, err)
		}
		if _, err = alice.MayReadLogs(t.Context(), w.web.ID, 0); !errors.Is(err, kovra.ErrToken) {
			t.Errorf("%s: a dead token must not read as a refusal: %v", name, err)
		}
	}
}

// Limits are per user: one person's leaves the others and the bot alone, and outlives the client.
func TestLimitsArePerPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		alice, bob := w.as(t, "alice", gitlabsim.Developer), w.as(t, "bob", gitlabsim.Developer)
		w.sim.Fault(gitlabsim.RateLimit("GET /user", 20*time.Second))
		_, err := alice.Self(t.Context())
		wantPersonal(t, alice, err, kovra.Unavailable, "wait 20 s")
		_, err = bob.Self(t.Context())
		must(t, err)
		_, err = w.Me(t.Context())
		must(t, err)
		again, err := w.As(alice.token())
		must(t, err)
		before := w.sim.CallCount("GET /user")
		_, err = again.Self(t.Context())
		wantKind(t, err, kovra.Unavailable)
		if n := w.sim.CallCount("GET /user"); n != before {
			t.Error("a new client of the same person asked again at once")
		}
		time.Sleep(20 * time.Second)
		_, err = again.Self(t.Context())
		must(t, err)
	})
}

func TestLevels(t *testing.T) {
	w := newWorld(t)
	for i, tt := range []struct{ project, group, want int }{{30, 0, 30}, {20, 40, 40}, {40, 20, 40}, {0, 30, 30}, {10, 0, 10}} {
		name := fmt.Sprintf("user%d", i)
		c := w.as(t, name, tt.project)
		w.sim.SetGroupMember(w.web.ID, name, tt.group)
		got, err := c.Level(t.Context(), w.web.ID)
		must(t, err)
		me, err := c.Self(t.Context())
		must(t, err)
		asBot, err := w.MemberLevel(t.Context(), w.web.ID, me.ID)
		must(t, err)
		if got != tt.want || asBot != tt.want {
			t.Errorf("%+v: got %d, and %d by the bot", tt, got, asBot)
		}
	}
	eve := w.as(t, "eve", 0)
	_, err := eve.Level(t.Context(), w.web.ID)
	wantPersonal(t, eve, err, kovra.NotFound, "you may not see it")
	open := w.sim.AddProject(gitlabsim.Project{Path: "group/open", Visibility: "public"})
	if got, err := eve.Level(t.Context(), open.ID); got != 0 || err != nil {
		t.Errorf("a stranger in a public project: %d, %v", got, err)
	}
	if got, err := w.MemberLevel(t.Context(), w.web.ID, 4711); got != 0 || err != nil {
		t.Errorf("nobody: %d, %v", got, err)
	}
	w.sim.Fault(gitlabsim.Status("GET /projects/:id/members/all/:user_id", 503))
	if _, err := w.MemberLevel(t.Context(), w.web.ID, 1); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("got %v", err)
	}
}

// A role that comes from above the group is in the list of members only.
func TestLevelFromAbove(t *testing.T) {
	c := newClient(t, &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		switch r.URL.Path {
		case "/api/v4/projects/7":
			return answer(r, 200, `{"id":7,"permissions":{"project_access":null,"group_access":null}}`), nil
		case "/api/v4/user":
			return answer(r, 200, `{"id":5,"username":"alice"}`), nil
		case "/api/v4/projects/7/members/all/5":
			return answer(r, 200, `{"id":5,"access_level":40}`), nil
		}
		return answer(r, 500, r.URL.Path), nil
	})})
	if got, err := c.Level(t.Context(), 7); got != 40 || err != nil {
		t.Errorf("got %d, %v, want 40", got, err)
	}
}

func TestMayReadLogs(t *testing.T) {
	w := newWorld(t)
	_, ref := w.web.Push("main", "Work", "bob")
	job := w.sim.Jobs(w.web.ID, ref.ID)[0].ID
	kept := w.sim.AddProject(gitlabsim.Project{Path: "group/kept", Visibility: "public", PrivatePipelines: true, Members: map[string]int{"rita": 20}})
	rita, eve, dora := w.as(t, "rita", gitlabsim.Reporter), w.as(t, "eve", 0), w.as(t, "dora", gitlabsim.Developer)
	debugged, _, err := w.CreatePipeline(t.Context(), w.web.ID, "main", []Variable{{Key: "CI_DEBUG_TRACE", Value: "true"}}, nil)
	must(t, err)
	secret := w.sim.Jobs(w.web.ID, debugged)[0].ID
	for _, tt := range []struct {
		name         string
		c            *Client
		project, job int64
		want         bool
	}{
		{"a Reporter, a job", rita, w.web.ID, job, true},
		{"a Reporter, the project", rita, w.web.ID, 0, true},
		{"a Reporter, a job that is not there", rita, w.web.ID, 4711, false},
		{"a Reporter, a job that prints its variables", rita, w.web.ID, secret, false},
		{"a Developer, a job that prints its variables", dora, w.web.ID, secret, true},
		{"a stranger, a job", eve, w.web.ID, job, false},
		{"a stranger, the project", eve, w.web.ID, 0, false},
		{"pipelines that are kept", eve, kept.ID, 0, false},
		{"pipelines that are kept, a Reporter", rita, kept.ID, 0, true},
	} {
		if got, err := tt.c.MayReadLogs(t.Context(), tt.project, tt.job); got != tt.want || err != nil {
			t.Errorf("%s: got %t, %v", tt.name, got, err)
		}
	}
	w.sim.SetDown(true)
	if _, err := rita.MayReadLogs(t.Context(), w.web.ID, job); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("when GitLab is down: %v", err)
	}
}

func TestSearchProjectsAsThePerson(t *testing.T) {
	w := newWorld(t)
	w.sim.AddProject(gitlabsim.Project{Path: "group/web-api", Members: map[string]int{"alice": 20}})
	w.sim.AddProject(gitlabsim.Project{Path: "secret/web"})
	alice := w.as(t, "alice", gitlabsim.Reporter)
	got, err := alice.SearchProjects(t.Context(), "web", 10)
	must(t, err)
	paths := map[string]bool{}
	for _, p := range got {
		paths[p.Path] = true
	}
	if d := cmp.Diff(map[string]bool{"group/web": true, "group/web-api": true}, paths); d != "" {
		t.Error(d)
	}
}

func TestComment(t *testing.T) {
	w := newWorld(t)
	mr := w.sim.OpenMergeRequest(w.web.ID, gitlabsim.MergeRequest{Title: "Add it", SourceBranch: "main"}, "alice")
	asked := w.sim.Comment(w.web.ID, mr.IID, "alice", "/kovra retry\nplease")
	by, text, err := w.Comment(t.Context(), w.web.ID, mr.IID, asked.ID)
	must(t, err)
	if by.Username != "alice" || by.ID == 0 || text != "/kovra retry\nplease" {
		t.Errorf("got %+v, %q", by, text)
	}
	for _, tt := range [][2]int64{{mr.IID, asked.ID + 1}, {mr.IID + 1, asked.ID}} {
		if _, _, err := w.Comment(t.Context(), w.web.ID, tt[0], tt[1]); kovra.KindOf(err) != kovra.NotFound {
			t.Errorf("comment %d of merge request %d: %v", tt[1], tt[0], err)
		}
	}
}

// TestClosedBranches: who may do what on a branch is GitLab's word, and asked for each time.
func TestClosedBranches(t *testing.T) {
	w := newWorld(t)
	w.sim.CreateBranch(w.web.ID, "release/1", "main", "alice")
	w.sim.CreateBranch(w.web.ID, "shared", "main", "alice")
	w.sim.Protect(w.web.ID, "release/1", gitlabsim.Maintainer)
	w.sim.Protect(w.web.ID, "shared", gitlabsim.Developer)
	closed := func(branch string) bool {
		t.Helper()
		yes, err := w.Closed(t.Context(), w.web.ID, branch)
		must(t, err)
		return yes
	}
	for branch, want := range map[string]bool{"release/1": true, "shared": false, "main": false, "gone": false} {
		if got := closed(branch); got != want {
			t.Errorf("%s: closed %v, want %v", branch, got, want)
		}
	}
	w.sim.Protect(w.web.ID, "release/1", 0)
	if closed("release/1") {
		t.Error("it is free now")
	}
	mr := w.sim.OpenMergeRequest(w.web.ID, gitlabsim.MergeRequest{Title: "Add it", SourceBranch: "shared"}, "alice")
	if got, err := w.Source(t.Context(), w.web.ID, mr.IID); err != nil || got != "shared" {
		t.Errorf("source %q, %v", got, err)
	}
	_, err := w.Source(t.Context(), w.web.ID, 99)
	wantKind(t, err, kovra.NotFound)
	w.sim.SetDown(true)
	_, err = w.Closed(t.Context(), w.web.ID, "shared")
	wantKind(t, err, kovra.Unavailable)
}

func TestReplyNote(t *testing.T) {
	w := newWorld(t)
	mr := w.sim.OpenMergeRequest(w.web.ID, gitlabsim.MergeRequest{Title: "Add it", SourceBranch: "main"}, "alice")
	asked := w.sim.Comment(w.web.ID, mr.IID, "alice", "/kovra run")
	must(t, w.ReplyNote(t.Context(), w.web.ID, mr.IID, asked.DiscussionID, "On its way."))
	must(t, w.ReplyNote(t.Context(), w.web.ID, mr.IID, "", "Hello."))
	got := w.sim.Notes(w.web.ID, mr.IID)
	if len(got) != 3 || got[1].Body != "On its way." || got[1].DiscussionID != asked.DiscussionID || got[1].Author != gitlabsim.BotUsername ||
		got[2].DiscussionID == asked.DiscussionID {
		t.Errorf("got %+v", got)
	}
	wantKind(t, w.ReplyNote(t.Context(), w.web.ID, 99, asked.DiscussionID, "x"), kovra.NotFound)
	wantKind(t, w.ReplyNote(t.Context(), w.web.ID, mr.IID, "0123", "x"), kovra.NotFound)
	const endpoint = "POST /projects/:id/merge_requests/:merge_request_iid/discussions/:discussion_id/notes"
	for _, fault := range []gitlabsim.Fault{gitlabsim.LoseReply(endpoint), gitlabsim.BadGatewayAfter(endpoint)} {
		before, calls := len(w.sim.Notes(w.web.ID, mr.IID)), w.sim.CallCount(endpoint)
		w.sim.Fault(fault)
		wantKind(t, w.ReplyNote(t.Context(), w.web.ID, mr.IID, asked.DiscussionID, "Once."), kovra.Unclear)
		if n, asked := len(w.sim.Notes(w.web.ID, mr.IID))-before, w.sim.CallCount(endpoint)-calls; n != 1 || asked != 1 {
			t.Errorf("%s: %d notes by %d calls, want one each", fault, n, asked)
		}
	}
}
