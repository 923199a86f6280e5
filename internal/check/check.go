// Package check finds out what is wrong with an installation and says how to mend it: the
// configuration, the database, Slack, GitLab and the linked projects with their webhooks, the
// public address, the cluster and the registry.
//
// It is used by `kovra check`: [Run] looks at everything at once and gives a [Report], which is
// printed as text or JSON. [Rows] is the table of all that can be found; docs/check.md shows it.
//
// It changes nothing, here or anywhere else, prints no secret, and needs neither a running server
// nor a database. What one part has to say keeps no other from being looked at.
package check

import (
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"kovra.dev/chatops/internal/config"
)

// Times of a run.
const (
	DefaultTimeout = 30 * time.Second // of the whole
	callTimeout    = 10 * time.Second // of one question
	atOnce         = 8                // projects that are asked about side by side
)

// Options say what is looked at.
type Options struct {
	Environ []string // as of os.Environ
	File    string   // the configuration file; "": none
	// Timeout ends the whole; 0: [DefaultTimeout]. What was not answered by then is told as such.
	Timeout time.Duration
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Status is how something is.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, and somebody should know
	Wrong   Status = "wrong"   // something does not work
	Skipped Status = "skipped" // it could not be looked at, or there is nothing to look at
)

// Finding is what one look has found.
type Finding struct {
	// ID is that of a [Row] where the status is Wrong or Warning, else that of the look: the row's without its last word.
	ID      string `json:"id"`
	Subject string `json:"subject"` // what was looked at
	Status  Status `json:"status"`
	What    string `json:"what"` // what is wrong; with OK what was seen, with Skipped why
	Mend    string `json:"mend"` // what to do; empty unless Wrong or Warning
}

// Report is all that was found, in the order of the areas.
type Report []Finding

// ExitCode is 1 when something is wrong, else 0.
func (r Report) ExitCode() int {
	if slices.ContainsFunc(r, func(f Finding) bool { return f.Status == Wrong }) {
		return 1
	}
	return 0
}

// look is one run.
type look struct {
	o        Options
	cfg      *config.Config
	problems []*config.Problem
	http     *http.Client
	state    state
}

// area is a part of the installation. Areas are looked at side by side.
type area struct {
	id, title string
	run       func(*look, context.Context) []Finding
}

var areas = []area{
	{"config", "Configuration", (*look).settings},
	{"database", "Database", (*look).database},
	{"slack", "Slack", (*look).slack},
	{"gitlab", "GitLab", (*look).gitlab},
	{"public", "Public address", (*look).public},
	{"cluster", "Builds", (*look).cluster},
}

// Run looks at everything. It ends with ctx, or after the timeout.
func Run(ctx context.Context, o Options) Report {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	l := &look{o: o}
	l.cfg, l.problems = config.Survey(o.Environ, o.File)
	l.http = client(l.cfg.CAPool)
	defer l.http.CloseIdleConnections()
	l.state = l.peek(ctx)

	found := make([][]Finding, len(areas))
	var all errgroup.Group
	for i, a := range areas {
		all.Go(func() error {
			found[i] = a.run(l, ctx)
			return nil
		})
	}
	_ = all.Wait() // no look fails: what it could not do is a finding
	return slices.Concat(found...)
}

// bad says whether a setting has a problem, so that there is nothing to look at.
func (l *look) bad(names ...string) bool {
	return slices.ContainsFunc(l.problems, func(p *config.Problem) bool {
		return slices.ContainsFunc(names, func(name string) bool { return p.Setting == name || p.Setting == name+"_FILE" })
	})
}

func fine(id, subject, seen string) Finding {
	return Finding{ID: id, Subject: subject, Status: OK, What: seen}
}

func skip(id, subject, why string) Finding {
	return Finding{ID: id, Subject: subject, Status: Skipped, What: why}
}

// found makes a finding of a row; args are names of its gaps and what comes in, in turn.
func found(id, subject string, args ...string) Finding {
	i := slices.IndexFunc(rows, func(r Row) bool { return r.ID == id })
	if i < 0 {
		return Finding{ID: id, Subject: subject, Status: Wrong} // unreachable: the test of the table produces every row
	}
	r := rows[i]
	return Finding{ID: id, Subject: subject, Status: r.Status, What: fill(r.What, args), Mend: fill(r.Mend, args)}
}
