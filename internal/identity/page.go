package identity

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"regexp"

	"kovra.dev/chatops/internal/kovra"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// pagePolicy lets a page do nothing but look as it does and send its own form.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// page is what a person reads.
type page struct {
	Name       string // for tests
	Title      string
	Text, Hint string
	Pair       *pairing
	Pending    string       // sealed; set: it is asked whether to connect
	Slack      template.URL // back to Slack
	status     int
}

// pairing names both accounts.
type pairing struct{ GitLab, Slack string }

// Style is the look of every page.
func (page) Style() template.CSS { return template.CSS(pageCSS) } //nolint:gosec // our own file

func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer") // addresses here carry codes
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Robots-Tag", "noindex")
		h.Set("Content-Security-Policy", pagePolicy)
		next.ServeHTTP(w, r)
	})
}

func (i *Identity) show(w http.ResponseWriter, r *http.Request, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.status)
	if err := pageTemplate.Execute(w, p); err != nil {
		i.log.DebugContext(r.Context(), "a page was not read", "err", err)
	}
}

// trouble is the page of an error. It is logged if it is our fault.
func (i *Identity) trouble(r *http.Request, err error) page {
	p := page{Name: "trouble", Title: "That did not work", Text: kovra.PublicText(err), Hint: "Go back to where you came from and start again."}
	switch kovra.KindOf(err) {
	case kovra.Denied:
		p.status, p.Name, p.Hint = http.StatusForbidden, "refused", ""
	case kovra.Unavailable:
		p.status = http.StatusServiceUnavailable
	case kovra.Unconnected: // the code of GitLab was not good any more
		p.status, p.Text = http.StatusBadRequest, "GitLab did not confirm that it was you."
	default:
		p.status = http.StatusInternalServerError
		i.log.ErrorContext(r.Context(), "sign-in with gitlab failed", "err", err)
	}
	return p
}

func pageOld() page {
	return page{
		Name: "old", status: http.StatusGone, Title: "This link is no longer good",
		Text: "It works for a quarter of an hour. Type /kovra connect in Slack for a new one.",
	}
}

func pageStranger() page {
	return page{
		Name: "stranger", status: http.StatusBadRequest, Title: "This sign-in was not started here",
		Text: "It was started in another browser, too long ago, or is over already.", Hint: "Go back to where you came from and start again.",
	}
}

func pageDeclined() page {
	return page{
		Name: "declined", status: http.StatusOK, Title: "Nothing was connected",
		Text: "You did not allow it, so nothing has changed. Whenever you want to, type /kovra connect in Slack.",
	}
}

var teamID = regexp.MustCompile(`^[TE][A-Z0-9]{1,30}$`)

// backToSlack opens Slack in a workspace; "" where that is none.
func backToSlack(team string) template.URL {
	if !teamID.MatchString(team) {
		return ""
	}
	return template.URL("slack://open?team=" + team) //nolint:gosec // checked above
}
