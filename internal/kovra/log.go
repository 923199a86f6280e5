package kovra

import (
	"fmt"
	"time"
)

// LogKind says what a log belongs to.
type LogKind string

// The kinds of logs.
const (
	JobLog        LogKind = "job"        // a GitLab job
	BuildLog      LogKind = "build"      // all steps of a build, in order
	DeploymentLog LogKind = "deployment" // all steps of a deployment
)

// Steps reports whether it is a log that is followed while its steps write it, and not fetched from GitLab.
func (k LogKind) Steps() bool { return k == BuildLog || k == DeploymentLog }

// LogKey names one log.
type LogKey struct {
	Kind    LogKind
	Project int64 // GitLab's; 0: the log of a deployment
	ID      int64 // GitLab's id of the job; ours of a build or deployment
}

// String names the log for people who read our own logs.
func (k LogKey) String() string { return fmt.Sprintf("%s %d of project %d", k.Kind, k.ID, k.Project) }

// Log is what is known of a log that is kept, or wanted.
type Log struct {
	ID      int64 // ours
	Key     LogKey
	Subject LogSubject
	// Lines are kept, numbered from 1; more may come until Done.
	Lines int
	Bytes int64 // of their text
	// Done: nothing will be added any more.
	Done bool
	// Truncated: the log went on, but the most that is kept of one was reached.
	Truncated bool
	// Streams: the source tells standard error from standard output.
	Streams bool
	// Note is for the reader: why there are no lines, or no more of them.
	Note string

	// Kept: wanted also while nobody reads it.
	Kept      bool
	CreatedAt time.Time
	ReadAt    time.Time // when a reader was last heard of; may be some seconds late
	// NextAt is when the source may be asked again, Pause how long the last wait was.
	NextAt time.Time
	Pause  time.Duration
	// Cursor is where the source of a followed log is read on from, in its own words.
	Cursor string
	// Version grows with every change.
	Version int64
}

// LogSubject is what a log is the log of, as it was last seen: it must be told of
// also when GitLab has forgotten it.
type LogSubject struct {
	Name       string        `json:"name,omitempty"`
	Stage      string        `json:"stage,omitempty"`
	Status     Status        `json:"status,omitempty"`
	Pipeline   int64         `json:"pipeline,omitempty"` // GitLab's id
	Build      int64         `json:"build,omitempty"`    // that a deployment is of
	Ref        string        `json:"ref,omitempty"`
	Commit     string        `json:"commit,omitempty"` // of a build
	URL        string        `json:"url,omitempty"`    // at GitLab
	StartedAt  time.Time     `json:"started_at,omitzero"`
	FinishedAt time.Time     `json:"finished_at,omitzero"`
	Duration   time.Duration `json:"duration,omitempty"`
}

// Words for builds and deployments where they are not those of jobs.
const (
	shownBuilding   Shown = "Building"
	shownSucceeded  Shown = "Succeeded"
	shownCancelled  Shown = "Cancelled"
	shownRollingOut Shown = "Rolling out"
	shownRolledOut  Shown = "Rolled out"
)

// Shown is the word for how what the log is of stands.
func (l *Log) Shown() Shown {
	shown := l.Subject.Status.Shown()
	deploys := l.Key.Kind == DeploymentLog
	switch {
	case !l.Key.Kind.Steps():
	case shown == ShownRunning && deploys:
		return shownRollingOut
	case shown == ShownRunning:
		return shownBuilding
	case shown == ShownSuccess && deploys:
		return shownRolledOut
	case shown == ShownSuccess:
		return shownSucceeded
	case shown == ShownCanceled:
		return shownCancelled
	}
	return shown
}

// LogLine is one line as it is kept: masked, valid UTF-8, no control characters
// but tabs.
type LogLine struct {
	N      int
	Text   string
	Stream byte // 'O' or 'E' where the source tells them apart, else 0
	// Suspect: the line looks like an error.
	Suspect bool
	// Header: the line is the title of a section that begins with it; Collapsed: the
	// section asks to be shown folded.
	Header, Collapsed bool
	// Depth is in how many sections the line is, its own as a header included. A
	// section ends before the next line that is less deep, or is a header of the same depth.
	Depth int
	Spans []LogSpan // colours, in order, not overlapping
}

// LogSpan colours a part of a line, given in bytes of its text.
type LogSpan struct {
	From, To int
	Style    uint16 // as package joblog says
}

// LogSection is a part of a log that can be folded: From is its title, To its last line.
type LogSection struct {
	From, To  int
	Depth     int // 1 for the outermost
	Collapsed bool
	Open      bool // To may still grow
}

// Channel is what is known of a Slack channel.
type Channel struct {
	ID string
	// Shared: people of other organisations are in it (Slack Connect), or invited to it.
	Shared bool
	// LogsAllowed: an administrator lets excerpts and log links be shown there all the same.
	LogsAllowed bool
	CheckedAt   time.Time // zero: never
}

// ShowsLogs reports whether excerpts and links to logs may be shown in the channel. One
// that nobody has looked at may be shared.
func (c Channel) ShowsLogs() bool { return c.LogsAllowed || !c.Shared && !c.CheckedAt.IsZero() }
