package identity

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

var aLog = kovra.LogKey{Kind: kovra.JobLog, Project: 7, ID: 4711}

// read asks whether whoever holds the browser's cookies may read a log.
func (o *office) read(key kovra.LogKey) error {
	o.Helper()
	at, err := url.Parse(o.where + "/logs/x")
	o.must(err)
	r := httptest.NewRequestWithContext(o.Context(), http.MethodGet, at.String(), nil)
	for _, c := range o.jar.Cookies(at) {
		r.AddCookie(c)
	}
	return o.MayReadLog(r, key)
}

func (o *office) signIn(as string, key kovra.LogKey) visited {
	o.Helper()
	v := o.get(o.SignIn(o.db.LogLink(key)))
	if v.status != http.StatusFound {
		o.Fatalf("%d %s", v.status, v.body)
	}
	return o.allow(v.to, as)
}

func TestSignInToReadALog(t *testing.T) {
	o := newOffice(t)
	want(t, o.read(aLog), kovra.Unconnected)
	start := o.get(o.SignIn(o.db.LogLink(aLog)))
	if !strings.Contains(start.to, "scope=read_api&") {
		t.Errorf("asks for %s", start.to)
	}
	v := o.allow(start.to, "otto")
	if v.status != http.StatusFound || v.to != o.where+"/logs/"+o.db.LogLink(aLog) {
		t.Fatalf("got %d %s", v.status, v.to)
	}
	var session *http.Cookie
	for _, line := range v.header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == sessionCookie {
			session = c
		}
	}
	if session == nil || !session.HttpOnly || session.SameSite != http.SameSiteLaxMode || session.Path != "/" || session.MaxAge > 7200 || session.MaxAge < 7000 {
		t.Errorf("session %+v", session)
	}
	want(t, o.read(aLog), "")
	want(t, o.read(kovra.LogKey{Kind: kovra.BuildLog, Project: 7, ID: 3}), "")
	if o.account("UOUT").Connected() {
		t.Error("signing in to read connected an account")
	}
	asked := o.lab.count("logs")
	want(t, o.read(aLog), "")
	if o.lab.count("logs") != asked {
		t.Error("GitLab was asked again at once")
	}

	other := kovra.LogKey{Kind: kovra.JobLog, Project: 8, ID: 1}
	err := o.read(other)
	want(t, err, kovra.Denied)
	if text := kovra.PublicText(err); !strings.Contains(text, "@otto") {
		t.Errorf("got %q", text)
	}
	want(t, o.read(kovra.LogKey{Kind: kovra.DeploymentLog, ID: 99}), kovra.Denied) // of no app that is known
	o.lab.set(func() { o.lab.levels["otto"][8] = reporter })
	o.clock.move(certain + time.Second)
	want(t, o.read(other), "")

	o.lab.set(func() { o.lab.levels["otto"][7] = 10 })
	want(t, o.read(aLog), "")
	o.clock.move(readable)
	want(t, o.read(aLog), kovra.Denied)
	o.lab.set(func() { o.lab.down = errors.New("reset") })
	o.clock.move(readable)
	want(t, o.read(aLog), kovra.Unavailable)
	o.lab.set(func() { o.lab.down = nil })
	o.lab.sim.RevokeTokens("otto")
	want(t, o.read(aLog), kovra.Unconnected)
}

// The log of a deployment is for those who may see the jobs of its app's project.
func TestLogsOfDeployments(t *testing.T) {
	o := newOffice(t)
	o.signIn("otto", aLog)
	var web, lone kovra.Deployment
	o.must(o.db.Update(t.Context(), func(tx *storage.Tx) (err error) {
		b, _, err := tx.AddBuild(kovra.Build{App: "web"}, "", false)
		if err != nil {
			return err
		}
		if web, err = tx.AddDeployment(kovra.Deployment{Build: b.ID, App: "web"}); err != nil {
			return err
		}
		lone, err = tx.AddDeployment(kovra.Deployment{Build: b.ID, App: "lone"})
		return err
	}))
	want(t, o.read(kovra.LogKey{Kind: kovra.DeploymentLog, ID: web.ID}), "")
	want(t, o.read(kovra.LogKey{Kind: kovra.DeploymentLog, ID: lone.ID}), kovra.Denied)
}

func TestSessionsEnd(t *testing.T) {
	o := newOffice(t)
	o.signIn("mia", aLog)
	want(t, o.read(aLog), "")
	o.clock.move(sessionLives)
	want(t, o.read(aLog), kovra.Unconnected)
}

func TestSignInThatIsDenied(t *testing.T) {
	o := newOffice(t)
	v := o.get(o.SignIn(o.db.LogLink(aLog)))
	back, err := o.lab.sim.Deny(t.Context(), v.to, "mia")
	o.must(err)
	if v := o.get(back); v.page() != "declined" || v.status != http.StatusForbidden {
		t.Errorf("%d %s", v.status, v.page())
	}
	want(t, o.read(aLog), kovra.Unconnected)
}

// What is sealed for one use opens nothing else: a session is no state, and a state no session.
func TestCookiesAreForOneUse(t *testing.T) {
	o := newOffice(t)
	link, err := o.ConnectURL(t.Context(), person("UMIA"))
	o.must(err)
	sealed := link[strings.Index(link, "as=")+3:]
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/logs/x", nil)
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: sealed})
	want(t, o.MayReadLog(r, aLog), kovra.Unconnected)
}
