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
	"connect": true, "create": true, "delete": true, "deploy": true, "deployments": true, "disconnect": true, "help": true, "hooks": true, "jobs": true, "kovra": true,
	"link": true, "list": true, "log": true, "logs": true, "me": true, "merge-request": true, "merge-requests": true, "mergerequests": true, "mr": true, "mrs": true, "notify": true, "pipeline": true, "pipelines": true, "play": true,
	"pushes": true, "quiet": true, "rebuild": true, "releases": true, "resume": true, "retry": true, "retry-job": true, "rollback": true, "run": true, "settings": true, "subscribe": true,
	"subscriptions": true, "tags": true, "trigger": true, "unlink": true, "watch": true, "unsubscribe": true, "why": true,
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
	Seen     HookSight // how the webhook is

	// Watermark is up to when (GitLab's updated_at) the project was re-read.
	Watermark time.Time
	ReadAt    time.Time // when it was last re-read, by our clock
	LinkedAt  time.Time
}
