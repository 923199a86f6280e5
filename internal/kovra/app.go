package kovra

import (
	"regexp"
	"time"
)

// App is a named thing that a team ships.
type App struct {
	Name      string
	Project   int64 // GitLab project id; 0: none linked
	CreatedBy string
	CreatedAt time.Time
}

var appName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// commandWords cannot name an app: a command would be taken for it, or the other way round.
var commandWords = map[string]bool{
	"app": true, "apps": true, "apply": true, "audit": true, "build": true, "builds": true, "cancel": true, "check": true,
	"connect": true, "create": true, "delete": true, "deploy": true, "disconnect": true, "help": true, "jobs": true, "kovra": true,
	"link": true, "list": true, "log": true, "me": true, "notify": true, "pipeline": true, "pipelines": true, "play": true,
	"rebuild": true, "resume": true, "retry": true, "retry-job": true, "rollback": true, "run": true, "settings": true, "subscribe": true,
	"subscriptions": true, "trigger": true, "unlink": true, "unsubscribe": true, "why": true,
}

// CheckAppName returns nil for a name that an app may have, else an [Error] of
// kind [Invalid] that says what is wrong.
func CheckAppName(name string) error {
	if !appName.MatchString(name) {
		return Errorf(Invalid, "An app's name has 1 to 40 of a-z, 0-9 and -, and starts with a letter or digit; %q does not.", name)
	}
	if commandWords[name] {
		return Errorf(Invalid, "%q is a command, so no app can be called so.", name)
	}
	return nil
}

// Project is a GitLab project that an app is linked to.
type Project struct {
	ID            int64
	Path          string // group/web
	Name          string
	URL           string
	DefaultBranch string

	// Hook is the id of the webhook that feeds us; 0: none known. HookOurs says
	// that we made it, so that we may take it away.
	Hook     int64
	HookOurs bool

	// Watermark is up to when (GitLab's updated_at) the project was re-read.
	Watermark time.Time
	ReadAt    time.Time // when it was last re-read, by our clock
	LinkedAt  time.Time
}

// Broadcast says which news of an app are shown in the channel itself.
type Broadcast string

// The broadcast switch of a subscription.
const (
	BroadcastOn  Broadcast = "on" // default and protected branches and tags
	BroadcastOff Broadcast = "off"
	BroadcastAll Broadcast = "all"
)

// Subscription is what a channel wants to hear of an app.
type Subscription struct {
	ID        int64
	App       string
	Channel   string
	Broadcast Broadcast
	// Floor is the highest pipeline id that existed when the channel subscribed:
	// older ones are listed but get no thread.
	Floor     int64
	Paused    string // why nothing is posted; "": all is well
	CreatedBy string
	CreatedAt time.Time
}

// Broadcasts reports whether news of r go to the channel.
func (s Subscription) Broadcasts(r *Run) bool {
	switch s.Broadcast {
	case BroadcastOff:
		return false
	case BroadcastAll:
		return true
	default:
		return r.Protected || r.Tag
	}
}

// BroadcastsBuild reports whether news of b go to the channel: those of tags, of the default branch and of the
// branch that the app is built from.
func (s Subscription) BroadcastsBuild(b *Build, p Project, set BuildSettings) bool {
	switch s.Broadcast {
	case BroadcastOff:
		return false
	case BroadcastAll:
		return true
	default:
		return b.Spec.Tag || b.Spec.Branch != "" && (b.Spec.Branch == p.DefaultBranch || b.Spec.Branch == set.Branch)
	}
}

// WantsBuild reports whether the build gets a thread in the subscribed channel.
func (s Subscription) WantsBuild(b *Build) bool {
	return s.Paused == "" && b.App == s.App && !b.CreatedAt.Before(s.CreatedAt)
}

// Wants reports whether the run gets a thread in the subscribed channel.
func (s Subscription) Wants(r *Run) bool {
	return s.Paused == "" && r.Remote > s.Floor && !r.Child()
}
