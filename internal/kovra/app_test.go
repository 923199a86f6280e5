package kovra

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestCheckAppName(t *testing.T) {
	for _, name := range []string{"web", "w", "7", "7-of-9", "a--b", "web-", strings.Repeat("a", 40)} {
		if err := CheckAppName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	bad := []string{"", "-web", "Web", "we b", "web_1", "wéb", "web\n", "a/b", "<web>", strings.Repeat("a", 41)}
	for name := range commandWords {
		bad = append(bad, name)
	}
	for _, name := range bad {
		err := CheckAppName(name)
		if KindOf(err) != Invalid {
			t.Errorf("%q: error %v of kind %s", name, err, KindOf(err))
			continue
		}
		if quoted := fmt.Sprintf("%q", name); !strings.Contains(PublicText(err), quoted) {
			t.Errorf("%q: the sentence does not name it: %s", name, PublicText(err))
		}
	}
}

func TestCommandsNameNoApp(t *testing.T) {
	for _, word := range []string{
		"help", "app", "apps", "list", "link", "unlink", "subscribe", "unsubscribe", "run", "cancel", "retry", "retry-job", "play",
		"pipelines", "jobs", "why", "build", "deploy", "rollback", "connect", "disconnect", "audit", "settings", "resume",
	} {
		if CheckAppName(word) == nil {
			t.Errorf("an app may be called %q", word)
		}
	}
}

func TestSubscription(t *testing.T) {
	news := map[string]*Run{"main": {Protected: true}, "tag": {Tag: true}, "feature": {}}
	for switched, want := range map[Broadcast]map[string]bool{
		BroadcastOn:  {"main": true, "tag": true},
		"":           {"main": true, "tag": true},
		BroadcastOff: {},
		BroadcastAll: {"main": true, "tag": true, "feature": true},
	} {
		for name, r := range news {
			if got := switched.OfRun(r); got != want[name] {
				t.Errorf("broadcast %q, %s: %v, want %v", switched, name, got, want[name])
			}
		}
	}
	builds := map[string]*Build{
		"main": {Spec: BuildSpec{Branch: "main"}}, "release": {Spec: BuildSpec{Branch: "release"}}, "tag": {Spec: BuildSpec{Branch: "v1", Tag: true}},
		"feature": {Spec: BuildSpec{Branch: "feature"}}, "nothing": {},
	}
	for switched, want := range map[Broadcast]map[string]bool{
		BroadcastOn:  {"main": true, "release": true, "tag": true},
		BroadcastOff: {},
		BroadcastAll: {"main": true, "release": true, "tag": true, "feature": true, "nothing": true},
	} {
		for name, b := range builds {
			got := switched.OfBuild(b, Project{DefaultBranch: "main"}, BuildSettings{Branch: "release"})
			if got != want[name] {
				t.Errorf("broadcast %q, build of %s: %v, want %v", switched, name, got, want[name])
			}
		}
	}
	wants := map[string]struct {
		sub  Subscription
		run  Run
		want bool
	}{
		"new":        {Subscription{Floor: 10}, Run{Remote: 11}, true},
		"the newest": {Subscription{Floor: 10}, Run{Remote: 10}, false},
		"paused":     {Subscription{Floor: 10, Paused: "The bot is not in the channel."}, Run{Remote: 11}, false},
		"a child":    {Subscription{Floor: 10}, Run{Remote: 11, Source: "parent_pipeline"}, false},
	}
	for name, c := range wants {
		if got := c.sub.Wants(&c.run); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestActionNeeds(t *testing.T) {
	for kind, want := range map[ActionKind]Permission{
		ActRun: MayAct, ActCancel: MayAct, ActRetry: MayAct, ActRetryJob: MayAct, ActPlay: MayAct,
		ActLink: MayLink, ActUnlink: MayAdmin, ActCreateApp: MayAdmin, ActDeleteApp: MayAdmin,
		ActSubscribe: MayAdmin, ActUnsubscribe: MayAdmin, ActShowLogs: MayOwn, ActHideLogs: MayOwn, ActBuild: MayBuild, ActWatch: MayRead, ActConnect: MaySelf, "of a newer version": MayAdmin,
	} {
		if got := kind.Permission(); got != want {
			t.Errorf("%s needs %s, want %s", kind, got, want)
		}
	}
	for state, want := range map[ActionState]bool{
		ActionWanted: true, ActionTried: true, ActionDone: false, ActionFailed: false, ActionAsks: false,
	} {
		if got := (&Action{State: state}).Open(); got != want {
			t.Errorf("%s: open %v, want %v", state, got, want)
		}
	}
}

func TestWorkspaceKnows(t *testing.T) {
	plain, grid := Workspace{Team: "T1"}, Workspace{Team: "T1", Enterprise: "E1"}
	for name, c := range map[string]struct {
		at               Workspace
		team, enterprise string
		want             bool
	}{
		"a colleague":                        {plain, "T1", "", true},
		"somebody else":                      {plain, "T2", "", false},
		"nobody":                             {plain, "", "", false},
		"an enterprise where we have none":   {plain, "T2", "E1", false},
		"a colleague of a sister workspace":  {grid, "T2", "E1", true},
		"somebody of another enterprise":     {grid, "T2", "E2", false},
		"somebody without an enterprise":     {grid, "T2", "", false},
		"nobody, of a bot that knows no one": {Workspace{}, "", "", false},
	} {
		if got := c.at.Knows(c.team, c.enterprise); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	busy := &Error{Kind: Unavailable, Public: "GitLab is busy.", Err: io.ErrUnexpectedEOF, Retry: 30 * time.Second}
	const general = "Something went wrong on our side; it is in the log of the bot."
	for name, c := range map[string]struct {
		err          error
		kind         ErrorKind
		text, public string
	}{
		"a sentence":       {Errorf(NotFound, "There is no %s.", "web"), NotFound, "There is no web.", "There is no web."},
		"with a cause":     {busy, Unavailable, "GitLab is busy: unexpected EOF", "GitLab is busy."},
		"wrapped":          {fmt.Errorf("read job 5: %w", busy), Unavailable, "read job 5: GitLab is busy: unexpected EOF", "GitLab is busy."},
		"without sentence": {&Error{Kind: Denied, Err: io.EOF}, Denied, ": EOF", general},
		"of a stranger":    {io.EOF, Internal, "EOF", general},
	} {
		if got := KindOf(c.err); got != c.kind {
			t.Errorf("%s: kind %s, want %s", name, got, c.kind)
		}
		if got := c.err.Error(); got != c.text {
			t.Errorf("%s: %q, want %q", name, got, c.text)
		}
		if got := PublicText(c.err); got != c.public {
			t.Errorf("%s: people read %q, want %q", name, got, c.public)
		}
	}
	if !errors.Is(fmt.Errorf("again: %w", busy), io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if busy.RetryAfter() != 30*time.Second {
		t.Errorf("retry after %s", busy.RetryAfter())
	}
}
