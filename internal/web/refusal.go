package web

import (
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// refusal is an answer that says no.
type refusal struct {
	status int
	text   string        // what is the matter, for people
	hint   string        // what they can do
	url    string        // where they can do it; may be ""
	named  string        // what that address is called
	after  time.Duration // when to try again; 0: it is not said
	signIn string        // where a page leads instead of saying no; "": nowhere
}

func (r *refusal) Error() string { return r.text }

// errLeft: the reader went away, or did not take its bytes in time.
var errLeft = errors.New("the reader has left")

// hasLeft reports whether err means no more than that nobody is there to be told anything.
func hasLeft(r *http.Request, err error) bool {
	return errors.Is(err, errLeft) || r.Context().Err() != nil
}

var errNoSuchLink = &refusal{
	status: http.StatusNotFound,
	text:   "This link opens no log.",
	hint:   "It may have been cut short when it was copied. Open the log from its button in Slack again.",
}

// unread is for somebody who may not read the log, or of whom that is not known.
func (v *Viewer) unread(r *http.Request, err error) error {
	signIn := v.Readers.SignIn(r.PathValue("link"))
	switch kovra.KindOf(err) {
	case kovra.Unconnected:
		return &refusal{status: http.StatusUnauthorized, text: kovra.PublicText(err), signIn: signIn}
	case kovra.Denied:
		return &refusal{
			status: http.StatusForbidden, text: kovra.PublicText(err), url: signIn, named: "Sign in again",
			hint: "Ask somebody of the project at GitLab to let you in. To use another account, sign out at GitLab first.",
		}
	case kovra.Unavailable:
		return &refusal{status: http.StatusServiceUnavailable, text: kovra.PublicText(err), after: 5 * time.Second}
	default:
		return err
	}
}

func (v *Viewer) tooOld(log kovra.Log) *refusal {
	no := &refusal{
		status: http.StatusGone,
		text:   "This log is no longer kept. Logs are kept for " + span(v.Retention) + ".",
		hint:   "GitLab may still have it. If it does not, run the job again to get a new log.",
		url:    webAddress(log.Subject.URL), named: "View the job in GitLab",
	}
	if log.Key.Kind.Steps() {
		no.hint, no.named = "It was kept nowhere else. Build or deploy again to get a new log.", "View in GitLab"
	}
	return no
}

// span writes a time for people.
func span(d time.Duration) string {
	n, word := int(d/time.Hour), "hour"
	if n%24 == 0 && n > 0 {
		n, word = n/24, "day"
	}
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// webAddress is address if a browser may follow it.
func webAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return address
}

func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	switch kovra.KindOf(err) {
	case kovra.Invalid:
		return &refusal{status: http.StatusBadRequest, text: kovra.PublicText(err)}
	case kovra.NotFound: // it was thrown away just now
		return &refusal{status: http.StatusNotFound, text: kovra.PublicText(err), hint: "Load the page again to fetch it anew."}
	default:
		return &refusal{status: http.StatusInternalServerError, text: "The log cannot be shown right now.", hint: "Try again in a minute."}
	}
}

func invalid(format string, args ...any) error { return kovra.Errorf(kovra.Invalid, format, args...) }

func (r *refusal) head(w http.ResponseWriter, kind string) {
	h := w.Header()
	for _, name := range []string{"Content-Disposition", "Content-Length"} {
		h.Del(name)
	}
	h.Set("Content-Type", kind)
	if r.after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(r.after/time.Second)))
	}
	w.WriteHeader(r.status)
}

// refuse answers programs.
func (v *Viewer) refuse(w http.ResponseWriter, _ *http.Request, r *refusal) {
	r.head(w, kindJSON)
	_, _ = w.Write(errorJSON(r.text))
}

func errorJSON(text string) []byte {
	b, err := json.Marshal(map[string]string{"error": text})
	if err != nil {
		return []byte("{}\n") // unreachable: any text can be written as JSON
	}
	return append(b, '\n')
}

var refusalPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{.Text}}</title>
<link rel="stylesheet" href="{{call .Address "page.css"}}">
<link rel="stylesheet" href="{{call .Address "refusal.css"}}">
<link rel="icon" href="{{call .Address "icon.svg"}}">
<script src="{{call .Address "early.js"}}"></script>
</head>
<body class="refused">
<main class="refusal" data-test="refusal">
<h1>{{.Text}}</h1>
{{with .Hint}}<p>{{.}}</p>
{{end}}{{with .URL}}<p><a href="{{.}}" rel="noreferrer">{{$.Named}}</a></p>
{{end}}</main>
</body>
</html>
`))

// refusePage answers people.
func (v *Viewer) refusePage(w http.ResponseWriter, r *http.Request, no *refusal) {
	if no.signIn != "" {
		http.Redirect(w, r, no.signIn, http.StatusFound)
		return
	}
	no.head(w, kindHTML)
	err := refusalPage.Execute(w, struct {
		Text, Hint, URL, Named string
		Address                func(string) string
	}{no.text, no.hint, no.url, no.named, v.shell.address})
	if err != nil {
		v.Log.DebugContext(r.Context(), "a refusal was not read", "err", err)
	}
}
