package kovra

import (
	"regexp"
	"strings"
	"time"
)

// Push is a push of commits or of a tag, as a webhook or a re-read of a branch tells of it.
type Push struct {
	Project int64
	Ref     string // branch or tag, without refs/…
	Tag     bool
	// Read says that the ref was read at GitLab, and not told by a webhook: it points there now, whatever else is told.
	Read   bool
	Before string // what the ref pointed to; "" for a new one, and where it was read
	After  string // the commit that the ref points to now; "" when it was deleted
	Title  string // "" when it is not known
	Author GitLabUser
	Pusher GitLabUser
	// Paths are the files that changed. AllPaths says that none is missing: GitLab lists at most 20 commits.
	Paths    []string
	AllPaths bool
	// At is when a tag was made that was read.
	At time.Time
}

// PushTaken is what became of a push.
type PushTaken struct {
	Heard  bool // an app builds that branch or tag
	Moved  bool // the branch is somewhere else than it was known to be
	Builds int  // how many are new
}

// FullRef cuts "refs/heads/main" or "refs/tags/v1" to the name.
func FullRef(ref string) (name string, tag bool) {
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return name, true
	}
	return strings.TrimPrefix(ref, "refs/heads/"), false
}

var sha = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// IsSHA reports whether v is the whole id of a commit, in a repository of SHA-1 or SHA-256. The zeros that
// stand for no commit are none.
func IsSHA(v string) bool { return sha.MatchString(v) && strings.Trim(v, "0") != "" }

// Commit is a commit as GitLab tells of it.
type Commit struct {
	SHA    string
	Title  string
	Author GitLabUser
}

// Tag is a tag as GitLab tells of it.
type Tag struct {
	Name   string
	Commit Commit
	MadeAt time.Time // of one without a message nobody knows that: when its commit was made
}
