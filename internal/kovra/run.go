package kovra

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Run is a GitLab pipeline as far as we know it.
type Run struct {
	ID      int64 `json:"-"` // ours
	Project int64 `json:"-"` // GitLab's project id
	Remote  int64 `json:"-"` // GitLab's pipeline id

	IID    int64  `json:"iid,omitempty"`
	Name   string `json:"name,omitempty"` // workflow:name
	Ref    string `json:"ref,omitempty"`  // branch, tag, or source branch of a merge request
	Tag    bool   `json:"tag,omitempty"`
	SHA    string `json:"sha,omitempty"`
	Source string `json:"source,omitempty"` // push, web, schedule, merge_request_event, …
	Status Status `json:"status,omitempty"`
	Title  string `json:"title,omitempty"` // first line of the commit message
	URL    string `json:"url,omitempty"`

	// By is who started the pipeline, Author who wrote the commit.
	By     GitLabUser `json:"by,omitzero"`
	Author GitLabUser `json:"author,omitzero"`

	CreatedAt  time.Time     `json:"created_at,omitzero"`
	StartedAt  time.Time     `json:"started_at,omitzero"`
	FinishedAt time.Time     `json:"finished_at,omitzero"` // of the newest attempt; zero while it moves
	Duration   time.Duration `json:"duration,omitempty"`
	Stages     []string      `json:"stages,omitempty"` // in order

	MR     MergeRequest `json:"mr,omitzero"`
	Parent Parent       `json:"parent,omitzero"`

	// Results are the ends that were seen, oldest first; an entry per attempt.
	Results []Result `json:"results,omitempty"`
	// Read says that GitLab's API was asked at least once, ReadResults how many
	// ends were known after the last time.
	Read        bool `json:"read,omitempty"`
	ReadResults int  `json:"read_results,omitempty"`
	// UpdatedAt is GitLab's own mark of the last change, as of that time.
	UpdatedAt time.Time `json:"updated_at,omitzero"`

	Stale         bool  `json:"-"` // something was seen that we cannot place: GitLab must be asked
	Version       int64 `json:"-"` // grows with every change that somebody may see
	DrivenVersion int64 `json:"-"` // what dispatch has looked at
	// ObservedAt is when GitLab last told us anything of this run.
	ObservedAt time.Time `json:"-"`
	// Starter is the Slack user who started it, as it was found out when the run was new: who is mentioned in a message
	// stays so. StarterKnown says that somebody has looked.
	Starter      string `json:"starter,omitempty"`
	StarterKnown bool   `json:"starter_known,omitempty"`
	// Protected says that the ref is the default branch, a protected one or a tag, where broadcasts are on by default.
	Protected bool `json:"protected,omitempty"`
}

// GitLabUser is a person as GitLab names them.
type GitLabUser struct {
	ID       int64  `json:"id,omitempty"`
	Username string `json:"username,omitempty"`
	Name     string `json:"name,omitempty"`
}

// botName matches the users that GitLab makes for tokens and services, and what people call their bots.
var botName = regexp.MustCompile(`(?i)^((project|group)_\d+_bot.*|service_account_.*|ghost|.*[-_.]bot|.*\[bot\])$`)

// Bot reports whether the user is, by name, no person.
func (u GitLabUser) Bot() bool { return botName.MatchString(u.Username) }

// MergeRequest is what a pipeline of a merge request knows of it.
type MergeRequest struct {
	IID    int64  `json:"iid,omitempty"`
	Title  string `json:"title,omitempty"`
	URL    string `json:"url,omitempty"`
	Target string `json:"target,omitempty"`
}

// Parent says which pipeline's trigger job started this one.
type Parent struct {
	Project  int64 `json:"project,omitempty"`
	Pipeline int64 `json:"pipeline,omitempty"`
	Job      int64 `json:"job,omitempty"`
}

// News is what a result means for those who watch the ref.
type News string

// Kinds of news (PRODUCT.md T3).
const (
	NoNews News = ""
	Broken News = "broken"
	Fixed  News = "fixed"
)

// Result is one end of a run.
type Result struct {
	FinishedAt time.Time     `json:"finished_at,omitzero"`
	Status     Status        `json:"status"`
	Duration   time.Duration `json:"duration,omitempty"`
	News       News          `json:"news,omitempty"`
}

// WantsRead reports whether GitLab's API should be asked: something could not be
// placed, or the run is new or has just ended (trigger jobs come from the API alone).
func (r *Run) WantsRead() bool {
	return r.Stale || !r.Read || r.Status.Final() && r.ReadResults < len(r.Results)
}

// Child reports whether the run is a child pipeline: folded under its trigger
// job, without a thread of its own.
func (r *Run) Child() bool {
	return r.Source == "parent_pipeline" || r.Parent.Pipeline != 0 && r.Parent.Project == r.Project
}

// Kind groups the runs of one ref that are compared with each other: pipelines
// of merge requests are a kind of their own.
func (r *Run) Kind() string {
	if r.MR.IID != 0 || r.Source == "merge_request_event" {
		return "merge_request"
	}
	if r.Tag {
		return "tag"
	}
	return "branch"
}

// Attempt counts from 1; it grows when a finished run finishes again. Buttons carry
// it, so that a click on an old picture is noticed.
func (r *Run) Attempt() int {
	if r.Status.Final() && len(r.Results) > 0 {
		return len(r.Results)
	}
	return len(r.Results) + 1
}

// ShortSHA is the first eight characters of the commit, as GitLab shows it.
func (r *Run) ShortSHA() string { return ShortSHA(r.SHA) }

// ShortSHA cuts a commit id to eight characters.
func ShortSHA(sha string) string { return sha[:min(len(sha), 8)] }

// Result returns the newest end of the run.
func (r *Run) Result() (Result, bool) {
	if !r.Status.Final() || len(r.Results) == 0 {
		return Result{}, false
	}
	return r.Results[len(r.Results)-1], true
}

// addResult records an end once; it reports whether it is new.
func (r *Run) addResult(n Result) bool {
	i, found := slices.BinarySearchFunc(r.Results, n, func(a, b Result) int { return a.FinishedAt.Compare(b.FinishedAt) })
	if found {
		return false
	}
	r.Results = slices.Insert(r.Results, i, n)
	return true
}

// FirstLine cuts a commit message to its title.
func FirstLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		s = s[:i]
	}
	if r := []rune(s[:min(len(s), utf8.UTFMax*maxTitle)]); len(r) > maxTitle {
		s = string(r[:maxTitle])
	}
	return strings.TrimSpace(s)
}

// maxTitle is how many characters of a commit's title are kept.
const maxTitle = 500
