package gitlabsim

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

const pageHead = `<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><meta name="viewport" content="width=device-width">
<title>%[1]s</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
pre{background:#111;color:#eee;padding:1rem;overflow:auto}td{padding:.2rem 1rem .2rem 0}</style></head><body><h1>%[1]s</h1>
`

// writePage sends a small page; body is HTML.
func writePage(w http.ResponseWriter, code int, title, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, pageHead+"%s</body></html>\n", html.EscapeString(title), body) //nolint:gosec // what callers put into the body is escaped
}

// servePage answers what links of the API lead to: pipelines, jobs, commits, branches, merge requests and projects. It asks for no
// login.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	title, body := s.pageFor(strings.Trim(r.URL.Path, "/"))
	s.mu.Unlock()
	if title == "" {
		writePage(w, http.StatusNotFound, "404: Page Not Found", "<p>This page does not exist in the simulated GitLab.</p>")
		return
	}
	writePage(w, http.StatusOK, title, body)
}

func (s *Server) pageFor(path string) (title, body string) {
	if path == "" {
		return "Simulated GitLab", s.projectLinks()
	}
	where, what, _ := strings.Cut(path, "/-/")
	p := s.projectByKey(where)
	if p == nil {
		return "", ""
	}
	kind, name, _ := strings.Cut(what, "/")
	id, _ := strconv.ParseInt(name, 10, 64)
	switch kind {
	case "":
		return p.fullName(), s.pipelineLinks(p)
	case "pipelines":
		if pl, err := s.findPipeline(p.ID, id); err == nil {
			return fmt.Sprintf("Pipeline #%d: %s", pl.id, pl.label()), s.pipelinePage(pl)
		}
		if name == "" {
			return p.fullName() + ": pipelines", s.pipelineLinks(p)
		}
	case "jobs":
		if j := s.jobs[id]; j != nil && j.pipeline.project == p {
			return fmt.Sprintf("Job %s (#%d): %s", j.spec.Name, j.id, j.status), s.jobPage(j)
		}
	case "commit":
		if c := p.commits[p.resolve(name)]; c != nil {
			return c.Title, fmt.Sprintf("<p>%s by %s</p><p>%s</p>", c.SHA, html.EscapeString(c.Author), link(s.web(p), p.fullName()))
		}
	case "tree", "tags":
		if c := p.commits[p.resolve(name)]; c != nil {
			return name, "<p>" + link(s.web(p)+"/-/commit/"+c.SHA, c.Title) + "</p>"
		}
	case "merge_requests":
		return "Merge request !" + name, s.mergeRequestPage(p, id)
	case "releases":
		if r := p.release(name); r != nil {
			return r.Name, "<p>" + html.EscapeString(r.Description) + "</p><p>" + link(s.web(p), p.fullName()) + "</p>"
		}
	}
	return "", ""
}

func link(href, text string) string {
	return fmt.Sprintf("<a href=%q>%s</a>", html.EscapeString(href), html.EscapeString(text))
}

func (s *Server) projectLinks() string {
	var b strings.Builder
	for _, p := range s.projects {
		b.WriteString("<p>" + link(s.web(p), p.fullName()) + "</p>")
	}
	return b.String()
}

func (s *Server) pipelineLinks(p *project) string {
	var b strings.Builder
	for _, pl := range p.pipelines {
		text := fmt.Sprintf("#%d %s %s", pl.id, pl.ref, pl.label())
		b.WriteString("<p>" + link(s.pipelineURL(pl), text) + "</p>")
	}
	return b.String()
}

func (s *Server) pipelinePage(pl *pipeline) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<p>%s at %s, started by %s</p><table>", html.EscapeString(pl.ref),
		link(s.web(pl.project)+"/-/commit/"+pl.sha, pl.sha[:8]), html.EscapeString(pl.user.Name))
	for _, j := range pl.latest() {
		fmt.Fprintf(&b, "<tr><td>%s</td><td>%s</td><td>%s</td></tr>", html.EscapeString(j.spec.Stage), link(s.jobURL(j), j.spec.Name), j.status)
	}
	b.WriteString("</table><p>" + link(s.web(pl.project), pl.project.fullName()) + "</p>")
	return b.String()
}

// mergeRequestPage shows a merge request and its comments; one that nobody described has its number only.
func (s *Server) mergeRequestPage(p *project, iid int64) string {
	var b strings.Builder
	if m := p.mrs[iid]; m != nil {
		fmt.Fprintf(&b, "<p>%s: %s</p><p>%s into %s, by %s</p>", m.State, html.EscapeString(m.Title), html.EscapeString(m.SourceBranch),
			html.EscapeString(m.TargetBranch), html.EscapeString(m.author.Name))
		for _, n := range m.notes {
			fmt.Fprintf(&b, `<p id="note_%d"><strong>%s</strong>: %s</p>`, n.id, html.EscapeString(n.author.Name), html.EscapeString(n.body))
		}
	}
	return b.String() + "<p>" + link(s.web(p), p.fullName()) + "</p>"
}

// controls are the escape sequences and section marks that a page cannot show.
var controls = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]|section_(start|end):[0-9]+:[^\r\n]*\r|\r")

func (s *Server) jobPage(j *job) string {
	text := controls.ReplaceAllString(j.trace.String(), "")
	return fmt.Sprintf("<p>%s in %s</p><pre>%s</pre>", link(s.pipelineURL(j.pipeline), fmt.Sprintf("Pipeline #%d", j.pipeline.id)),
		link(s.web(j.pipeline.project), j.pipeline.project.fullName()), html.EscapeString(text))
}
