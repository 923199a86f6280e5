package kovra

import "time"

// Workspace is the Slack workspace that the bot lives in.
type Workspace struct {
	Team       string
	Enterprise string // "" without Enterprise Grid
	Bot        string // the user id of the bot itself
}

// SlackUser is a person as Slack describes them.
type SlackUser struct {
	ID         string
	Name       string // what people call them
	Team       string
	Enterprise string // "" without Enterprise Grid
	Admin      bool   // administrator or owner of the workspace
	Bot        bool
	// Foreign says that the person belongs to another organisation: neither to
	// the bot's workspace nor, where there is one, to its enterprise.
	Foreign bool
	Deleted bool   // left the workspace
	Email   string // "" where Slack does not tell it
}

// Knows reports whether somebody of that workspace and enterprise belongs to the
// organisation that the bot works for. The enterprise counts, not only the workspace.
func (w Workspace) Knows(team, enterprise string) bool {
	return team != "" && team == w.Team || enterprise != "" && enterprise == w.Enterprise
}

// Account is what is known of one person beside what Slack says: their GitLab account, and of what they want to be told.
type Account struct {
	Slack  string     // user id
	GitLab GitLabUser // zero: not connected
	// Expires is when the access token ends; it can be refreshed.
	Expires     time.Time
	ConnectedAt time.Time
	Notify      Notify
	NotifySince time.Time // when that was chosen: older pipelines are not told
}

// Connected reports whether the person has connected a GitLab account.
func (a Account) Connected() bool { return a.GitLab.ID != 0 }

// Notify says of which of their own pipelines a person is told directly.
type Notify string

// Every choice of `/kovra notify me`.
const (
	NotifyOff      Notify = "off"
	NotifyFailures Notify = "failures"
	NotifyAll      Notify = "all"
)

// TokenPair is what GitLab gives to act as a person. It is secret, and kept sealed.
type TokenPair struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh"`
	Expires time.Time `json:"expires"`
}

// Match says which Slack user a GitLab user is.
type Match struct {
	GitLab    int64
	Slack     string // "": nobody is known
	How       string // connected, table, e-mail
	CheckedAt time.Time
}

// Home is one person's App Home: what they look at.
type Home struct {
	ID   int64
	User string // Slack's id
	Team string // of the person
	App  string // "": none chosen yet
	Tab  HomeTab
	Ref  string // of which the pipelines are; "": every ref
	// Before and After are the cursor of the page, as in lists; 0 and 0: the newest.
	Before, After int64
	// Action is the newest thing that the person did there; the page says what became of it.
	Action int64
	// Notice is what they are told there besides, in place of that: why something could not even begin.
	Notice  string
	SeenAt  time.Time // when they last opened it or clicked in it
	Version int64

	ShownVersion int64
	Hash         string // Slack's mark of the view that was last published
	Digest       string // of what was last published
}

// HomeTab is one of the two tabs of App Home.
type HomeTab string

// The tabs.
const (
	HomePipelines HomeTab = "pipelines"
	HomeBuilds    HomeTab = "builds"
)
