package bot

import (
	"fmt"
	"strconv"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// Names of buttons. The action id of a button is its name, or its name, a colon and
// something that makes it unique in its message; [ActionName] gives the name back.
const (
	ActionJobs     = "jobs"      // value: Value
	ActionCancel   = "cancel"    // value: Value
	ActionRetry    = "retry"     // value: Value
	ActionRetryJob = "retry_job" // value: Value with Job
	ActionPlay     = "play"      // value: Value with Job; Slack asks for a confirmation
	ActionJobsPage = "jobs_page" // value: Value with Page

	ActionRun   = "run"   // Run Pipeline; value: Place
	ActionList  = "list"  // the newest pipelines; value: Place
	ActionOlder = "older" // value: Place with Before
	ActionNewer = "newer" // value: Place with After

	ActionAudit   = "audit"   // older entries; value: Place with Before, App may be ""
	ActionConnect = "connect" // Connect GitLab project; value: the app
	ActionChoose  = "choose"  // value: a whole command line
	ActionConfirm = "confirm" // value: id of the action that asks

	ActionSubscribe          = "subscribe"           // opens the form; value: the app
	ActionEditSubscription   = "subscription_edit"   // value: its id
	ActionRemoveSubscription = "subscription_remove" // value: its id; Slack asks for a confirmation

	ActionWatch      = "watch"       // value: Value
	ActionWatchBuild = "watch_build" // value: BuildValue

	ActionCancelBuild = "cancel_build"  // value: BuildValue
	ActionRebuild     = "rebuild"       // value: BuildValue
	ActionDeploy      = "deploy"        // value: BuildValue
	ActionRollBack    = "roll_back"     // value: BuildValue with Deployment
	ActionTrigger     = "trigger"       // Trigger Build; value: Place
	ActionSettings    = "settings"      // value: the app
	ActionResume      = "resume_deploy" // value: the app
	ActionBuilds      = "builds"        // the newest builds; value: Place
	ActionOlderBuilds = "builds_older"  // value: Place with Before
	ActionNewerBuilds = "builds_newer"  // value: Place with After

	ActionEnableHooks = "enable_hooks" // of all projects

	ActionHomeApp = "home_app" // in App Home; value, or what was chosen: the app; "": all
	ActionHomeTab = "home_tab" // in App Home; value: the tab

	// ActionOpen is every button with a URL: Slack opens it, and the click needs an empty answer only.
	ActionOpen = "open"
)

// ActionName returns the name of an action id.
func ActionName(actionID string) string {
	name, _, _ := strings.Cut(actionID, ":")
	return name
}

// Value is what a button about a pipeline or a job carries. Attempt is the run's when
// the button was drawn: a click on an old picture is noticed by it.
type Value struct {
	Run     int64 // ours
	Attempt int
	Job     int64 // GitLab's; 0: none
	Page    int   // of the jobs; from 0
}

// String is the text of the value: run:attempt, run:attempt:job or run:attempt:job:page.
func (v Value) String() string {
	s := fmt.Sprintf("%d:%d", v.Run, v.Attempt)
	if v.Job != 0 || v.Page != 0 {
		s += fmt.Sprintf(":%d", v.Job)
	}
	if v.Page != 0 {
		s += fmt.Sprintf(":%d", v.Page)
	}
	return s
}

// ParseValue reads a button's value. Its error is of kind [kovra.Invalid].
func ParseValue(s string) (Value, error) {
	var n [4]int64
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > len(n) {
		return Value{}, kovra.Errorf(kovra.Invalid, saysOldButton)
	}
	for i, p := range parts {
		v, err := strconv.ParseInt(p, 10, 64)
		if err != nil || v < 0 {
			return Value{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
		}
		n[i] = v
	}
	return Value{Run: n[0], Attempt: int(n[1]), Job: n[2], Page: int(n[3])}, nil
}

// BuildValue is what a button about a build carries.
type BuildValue struct {
	Build      int64
	Deployment int64 // 0: none
}

// String is the text of the value: build, or build:deployment.
func (v BuildValue) String() string {
	s := strconv.FormatInt(v.Build, 10)
	if v.Deployment != 0 {
		s += fmt.Sprintf(":%d", v.Deployment)
	}
	return s
}

// ParseBuildValue reads a button's value. Its error is of kind [kovra.Invalid].
func ParseBuildValue(s string) (BuildValue, error) {
	build, deployment, more := strings.Cut(s, ":")
	var v BuildValue
	var err error
	v.Build, err = strconv.ParseInt(build, 10, 64)
	if err == nil && more {
		v.Deployment, err = strconv.ParseInt(deployment, 10, 64)
	}
	if err != nil || v.Build <= 0 || v.Deployment < 0 {
		return BuildValue{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
	}
	return v, nil
}

// Place is a place in a list: an app, perhaps one ref, and from where on.
type Place struct {
	App           string
	Ref           string
	Before, After int64
}

// String is the text of the place, for a button's value.
func (p Place) String() string { return fmt.Sprintf("%s:%d:%d:%s", p.App, p.Before, p.After, p.Ref) }

// ParsePlace reads a button's value. Its error is of kind [kovra.Invalid].
func ParsePlace(s string) (Place, error) {
	parts := strings.SplitN(s, ":", 4)
	if len(parts) != 4 {
		return Place{}, kovra.Errorf(kovra.Invalid, saysOldButton)
	}
	before, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return Place{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
	}
	after, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return Place{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
	}
	return Place{App: parts[0], Ref: parts[3], Before: before, After: after}, nil
}
