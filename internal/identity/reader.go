package identity

import (
	"context"
	"errors"
	"net/http"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	sessionLives  = 2 * time.Hour
	sessionCookie = "kovra_reader"
	readable      = 5 * time.Minute // how old an answer of GitLab may be to let somebody read a log
)

// session is somebody who signed in to read logs; the browser keeps it in a cookie that it cannot read.
type session struct {
	User    int64     `json:"u"`
	Name    string    `json:"n"` // user name
	Token   string    `json:"t"`
	Expires time.Time `json:"x"`
}

// signIn remembers who reads, and goes back to the log.
func (i *Identity) signIn(w http.ResponseWriter, r *http.Request, f flow, who kovra.GitLabUser, pair kovra.TokenPair) (page, bool) {
	s := session{User: who.ID, Name: who.Username, Token: pair.Access, Expires: i.now().Add(sessionLives)}
	if !pair.Expires.IsZero() && pair.Expires.Before(s.Expires) {
		s.Expires = pair.Expires
	}
	sealed, err := i.seal(useSession, s)
	if err != nil {
		return i.trouble(r, err), true
	}
	i.setCookie(w, sessionCookie, "/", sealed, s.Expires)
	http.Redirect(w, r, i.oauth.PublicURL+"/logs/"+f.Log, http.StatusFound)
	return page{}, false
}

// SignIn is where a browser signs in to read the log of a link.
func (i *Identity) SignIn(link string) string { return i.oauth.PublicURL + startPath + "?log=" + link }

// readerKey is one GitLab user and the log of one job; another sign-in is another key.
type readerKey struct {
	token        string
	project, job int64
}

// MayReadLog returns nil if whoever sent the request has signed in with GitLab and may see the log there. Else the error is
// Unconnected: they must sign in; Denied, with a sentence that says as whom they are signed in; or Unavailable.
func (i *Identity) MayReadLog(r *http.Request, key kovra.LogKey) error {
	var s session
	c, err := r.Cookie(sessionCookie)
	if err != nil || !i.unseal(useSession, c.Value, &s) || !i.now().Before(s.Expires) {
		return errSignIn()
	}
	ask := readerKey{token: s.Token}
	if ask.project, ask.job, err = i.whereLog(r.Context(), key); err != nil {
		return err
	}
	if ask.project == 0 {
		return errNotReader(s)
	}
	yes, err := i.readers.get(r.Context(), ask, readable)
	if err == nil && !yes {
		yes, err = i.readers.get(r.Context(), ask, certain)
	}
	switch {
	case errors.Is(err, kovra.ErrToken):
		return errSignIn()
	case err != nil:
		return &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab could not be asked whether you may see this log. Please try again in a moment.", Err: err}
	case !yes:
		return errNotReader(s)
	}
	return nil
}

func errSignIn() error {
	return kovra.Errorf(kovra.Unconnected, "Sign in with GitLab to see this log: load the page again.")
}

func errNotReader(s session) error {
	return kovra.Errorf(kovra.Denied, "You are signed in to GitLab as @%s, who may not see this log.", s.Name)
}

// whereLog is by which project and job it is decided who may read a log; job 0: by the project alone.
func (i *Identity) whereLog(ctx context.Context, key kovra.LogKey) (project, job int64, err error) {
	if key.Kind == kovra.JobLog {
		return key.Project, key.ID, nil
	}
	if key.Project != 0 {
		return key.Project, 0, nil
	}
	err = i.db.Read(ctx, func(tx *storage.Tx) error {
		d, err := tx.Deployment(key.ID)
		if unknown(err) {
			return nil
		}
		if err != nil {
			return err
		}
		app, err := tx.App(d.App)
		if unknown(err) {
			return nil
		}
		project = app.Project
		return err
	})
	return project, 0, err
}

func (i *Identity) askReader(ctx context.Context, key readerKey) (bool, error) {
	yes, err := i.gitlab.MayReadLogs(ctx, key.token, key.project, key.job)
	if absent(err) {
		return false, nil
	}
	return yes, err
}
