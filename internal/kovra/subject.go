package kovra

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// SubjectKind says what a [Subject] is.
type SubjectKind string

// Every kind of subject.
const (
	SubjectMergeRequest SubjectKind = "merge_request"
	SubjectTag          SubjectKind = "tag"
	SubjectDeployment   SubjectKind = "deployment" // of GitLab
	SubjectRelease      SubjectKind = "release"
	SubjectPush         SubjectKind = "push"
)

// Topic is the topic of the subscriptions that want to hear of such subjects.
func (k SubjectKind) Topic() Topic {
	if k == SubjectPush {
		return TopicPushes
	}
	return Topic(k + "s")
}

// Subject is one thing of GitLab, neither pipeline nor build, that a channel hears of in one message: a merge
// request, a tag, a deployment, a release or a push. It is what webhooks told of it, folded.
type Subject struct {
	ID      int64       `json:"-"` // ours
	Project int64       `json:"-"`
	Kind    SubjectKind `json:"-"`
	// Key names it within its project and kind: the iid, the id of a deployment or release, tag@object, branch@commit.
	Key     string `json:"-"`
	Version int64  `json:"-"`

	Title string     `json:"title,omitempty"` // of the merge request, release or newest commit
	URL   string     `json:"url,omitempty"`
	By    GitLabUser `json:"by,omitzero"` // who opened, pushed, deployed
	// Ref is the branch or tag that subscriptions select by: of a merge request its target.
	Ref    string `json:"ref,omitempty"`
	Source string `json:"source,omitempty"` // branch of a merge request
	Fork   bool   `json:"fork,omitempty"`   // that branch is in another project
	SHA    string `json:"sha,omitempty"`
	// State is GitLab's word: opened, merged, closed, locked of a merge request; created, blocked, running, success, failed,
	// canceled, skipped of a deployment. A push is pushed; a tag or release is created, updated, moved or deleted.
	State string `json:"state,omitempty"`
	Draft bool   `json:"draft,omitempty"`
	// Approvals are the latest words of those who approved or not, by user name.
	Approvals []Approval `json:"approvals,omitempty"`
	// ResetAt is when a push last took every approval back: those before it are not kept.
	ResetAt time.Time `json:"reset_at,omitzero"`
	// Commits are those of a push, newest last, at most [MaxSubjectCommits]; Count is how many there are.
	Commits []Commit `json:"commits,omitempty"`
	Count   int      `json:"count,omitempty"`
	Created bool     `json:"created,omitempty"` // the branch or tag is new

	Environment    string `json:"environment,omitempty"` // of a deployment
	EnvironmentURL string `json:"environment_url,omitempty"`
	JobURL         string `json:"job_url,omitempty"`
	Text           string `json:"text,omitempty"` // description of a release, cut

	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"` // of the newest word: GitLab's mark, where it tells one
	// MovedAt is when, by our clock, it last took a turn that people want to hear of: opened, ready, approved, merged, deployed.
	MovedAt time.Time `json:"moved_at,omitzero"`

	// Told are the newest words of each state, which the rest is made of.
	Told []Subject `json:"told,omitempty"`
}

// MaxSubjectCommits is how many commits of a push are kept.
const MaxSubjectCommits = 5

// Approval is what one person said of a merge request or deployment.
type Approval struct {
	By       GitLabUser `json:"by"`
	Approved bool       `json:"approved"`
	Note     string     `json:"note,omitempty"`
	At       time.Time  `json:"at,omitzero"`
}

// Failed reports whether it came to a bad end.
func (e *Subject) Failed() bool { return e.Kind == SubjectDeployment && e.State == string(Failed) }

// Approved returns who approves it.
func (e *Subject) Approved() []GitLabUser {
	var out []GitLabUser
	for _, a := range e.Approvals {
		if a.Approved {
			out = append(out, a.By)
		}
	}
	return out
}

// subjectRank orders the states of what moves in one direction only, and breaks ties of time. Words that are
// not known stand below all of them.
var subjectRank = map[string]int{
	"created": 1, "pushed": 1, "opened": 1, "locked": 2, "blocked": 2, "updated": 2, "closed": 3, "running": 3, "moved": 3,
	"merged": 4, "success": 4, "failed": 4, "canceled": 4, "skipped": 4, "deleted": 5,
}

// oneWay says that the states never go back. Merge requests are reopened, and tags are made again.
func (k SubjectKind) oneWay() bool { return k != SubjectMergeRequest && k != SubjectTag }

// Observe folds what a webhook told. Any order and repetition of the same words ends in the same state. Of each state
// the newest word is kept; the one that is furthest, or of a merge request the newest, says how things are, and
// what it leaves out comes from the others.
func (e *Subject) Observe(n Subject) {
	for _, a := range n.Approvals {
		e.takeApproval(a)
	}
	e.ResetAt, e.MovedAt = later(e.ResetAt, n.ResetAt), later(e.MovedAt, n.MovedAt)
	if !e.ResetAt.IsZero() {
		e.Approvals = slices.DeleteFunc(slices.Clone(e.Approvals), func(a Approval) bool { return !a.At.After(e.ResetAt) })
	}
	e.CreatedAt, e.Created, e.Fork = earlier(e.CreatedAt, n.CreatedAt), e.Created || n.Created, e.Fork || n.Fork
	e.By = betterUser(e.By, n.By)
	e.takeWord(n)
	e.show()
}

// takeWord keeps n unless a newer word of its state is known.
func (e *Subject) takeWord(n Subject) {
	n.ID, n.Project, n.Kind, n.Key, n.Version = 0, 0, "", "", 0
	n.Approvals, n.ResetAt, n.MovedAt, n.CreatedAt, n.Created, n.Fork, n.By, n.Told = nil, time.Time{}, time.Time{}, time.Time{}, false, false, GitLabUser{}, nil
	i, found := slices.BinarySearchFunc(e.Told, n, func(a, b Subject) int { return cmp.Compare(a.State, b.State) })
	switch {
	case !found:
		e.Told = slices.Insert(slices.Clone(e.Told), i, n)
	case cmp.Or(n.UpdatedAt.Compare(e.Told[i].UpdatedAt), cmp.Compare(n.text(), e.Told[i].text())) > 0:
		e.Told = slices.Clone(e.Told)
		e.Told[i] = n
	}
}

// text is a word in the one form by which two of the same time are told apart.
func (e *Subject) text() string {
	b, err := json.Marshal(e)
	if err != nil {
		return "" // of a time that no calendar has
	}
	return string(b)
}

// show makes of the words that are kept what there is to be seen.
func (e *Subject) show() {
	words := slices.SortedFunc(slices.Values(e.Told), func(a, b Subject) int { return e.Kind.compare(b, a) })
	first := words[0]
	e.State, e.Draft, e.UpdatedAt = first.State, first.Draft, first.UpdatedAt
	for _, field := range []func(*Subject) *string{
		func(s *Subject) *string { return &s.Title }, func(s *Subject) *string { return &s.URL }, func(s *Subject) *string { return &s.Ref },
		func(s *Subject) *string { return &s.Source }, func(s *Subject) *string { return &s.SHA }, func(s *Subject) *string { return &s.Text },
		func(s *Subject) *string { return &s.Environment }, func(s *Subject) *string { return &s.EnvironmentURL },
		func(s *Subject) *string { return &s.JobURL },
	} {
		*field(e) = ""
		for i := range words {
			*field(e) = cmp.Or(*field(e), *field(&words[i]))
		}
	}
	e.Commits, e.Count = nil, 0
	for _, w := range words {
		if e.Count == 0 {
			e.Commits, e.Count = w.Commits, w.Count
		}
	}
}

// compare orders words of different states; the greater one says how things are. A word without a state, which is one
// about approvals, is the least.
func (k SubjectKind) compare(a, b Subject) int {
	if a.State == "" || b.State == "" {
		return cmp.Compare(a.State, b.State)
	}
	rank := cmp.Compare(subjectRank[a.State], subjectRank[b.State])
	if k == SubjectTag {
		return cmp.Or(a.toldAt().Compare(b.toldAt()), rank, cmp.Compare(a.State, b.State))
	}
	if k.oneWay() && rank != 0 {
		return rank
	}
	return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), rank, cmp.Compare(a.State, b.State))
}

// tagDoubt is how much later than its end the beginning of a tag may be told, and still be the one before it. A tag that
// is made again with the same object has nothing but the time to be told by.
const tagDoubt = 10 * time.Second

// toldAt is when a word on a tag was told, in doubt earlier.
func (e *Subject) toldAt() time.Time {
	if e.State == "created" {
		return e.UpdatedAt.Add(-tagDoubt)
	}
	return e.UpdatedAt
}

// betterUser chooses between two words on who began it: one that tells the user name.
func betterUser(a, b GitLabUser) GitLabUser {
	named := func(u GitLabUser) int { return min(len(u.Username), 1) }
	if cmp.Or(named(a)-named(b), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Username, b.Username), cmp.Compare(a.Name, b.Name)) < 0 {
		return b
	}
	return a
}

// takeApproval keeps each person's latest word; of two at one time the one that approves less.
func (e *Subject) takeApproval(n Approval) {
	i, found := slices.BinarySearchFunc(e.Approvals, n, func(a, b Approval) int {
		return cmp.Or(cmp.Compare(a.By.Username, b.By.Username), cmp.Compare(a.By.ID, b.By.ID))
	})
	if !found {
		e.Approvals = slices.Insert(slices.Clone(e.Approvals), i, n)
		return
	}
	was := e.Approvals[i]
	approves := func(a Approval) int {
		if a.Approved {
			return 0
		}
		return 1
	}
	if cmp.Or(n.At.Compare(was.At), approves(n)-approves(was), cmp.Compare(n.Note, was.Note), cmp.Compare(n.By.Name, was.By.Name)) > 0 {
		e.Approvals = slices.Clone(e.Approvals)
		e.Approvals[i] = n
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// SubjectTaken is what became of a word on a subject.
type SubjectTaken struct {
	Heard   bool // a channel wants to hear of such subjects, or has heard of this one
	Changed bool // it was news
}

// Comment is a command that somebody wrote in a merge request (PRODUCT.md P10).
type Comment struct {
	Project    int64
	Note       int64 // GitLab's id of the comment
	Discussion string
	MR         int64  // its iid
	Source     string // the source branch
	// Branch is the same; "" where it is in a fork.
	Branch   string
	Pipeline int64 // the newest of the merge request; 0: none is known
	By       GitLabUser
	Text     string // the line that begins with /kovra, without that word
	URL      string
}

// What a comment may ask for.
const (
	CommentRetry  = "retry"
	CommentCancel = "cancel"
	CommentBuild  = "build"
)

// The word that calls us in a comment, and how many bytes of a command are kept.
const (
	commandWord = "/kovra"
	maxCommand  = 200
)

// CommandOf cuts the first line of a comment to what follows the word that calls us. GitLab takes away lines that are commands of
// its own.
func CommandOf(note string) (said string, ok bool) {
	line, _, _ := strings.Cut(strings.TrimSpace(note), "\n")
	words := strings.Fields(line)
	if len(words) == 0 || !strings.EqualFold(words[0], commandWord) {
		return "", false
	}
	said = strings.Join(words[1:], " ")
	if len(said) > maxCommand {
		said = strings.ToValidUTF8(said[:maxCommand], "")
	}
	return said, true
}

// Words splits the command into what is to be done and the app that it names; "" for none.
func (c *Comment) Words() (verb, app string) {
	words := append(strings.Fields(c.Text), "", "")
	return strings.ToLower(words[0]), strings.ToLower(words[1])
}
