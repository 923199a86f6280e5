package dispatch

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// TestForgedCommentDoesNothing: a webhook can be made to say that anybody said anything.
func TestForgedCommentDoesNothing(t *testing.T) {
	down := &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab is down.", Err: errors.New("reset")}
	tests := []struct {
		name   string
		author int64
		said   string
		unread error
		state  kovra.ActionState
		calls  bool
	}{
		{"as it was told", 7, "/kovra retry\nplease", nil, kovra.ActionDone, true},
		{"somebody else wrote it", 8, "/kovra retry", nil, kovra.ActionFailed, false},
		{"it says something else", 7, "/kovra cancel", nil, kovra.ActionFailed, false},
		{"it is no command", 7, "please /kovra retry", nil, kovra.ActionFailed, false},
		{"nobody wrote it", 0, "/kovra retry", nil, kovra.ActionFailed, false},
		{"there is no such comment", 7, "/kovra retry", kovra.Errorf(kovra.NotFound, "GitLab knows no such comment."), kovra.ActionFailed, false},
		{"GitLab cannot be asked", 7, "/kovra retry", down, kovra.ActionWanted, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t)
			run := o.failedRun(t)
			by := kovra.Person{GitLab: kovra.GitLabUser{ID: 7, Username: "alice"}}
			o.accounts[""], o.author, o.said, o.unread = by.GitLab, tt.author, tt.said, tt.unread
			c := &kovra.Comment{Project: web, MR: 3, Note: 9, Text: "retry", By: by.GitLab}
			id := o.propose(kovra.Action{Kind: kovra.ActRetry, App: "web", Run: run.ID, By: by, Params: kovra.Params{Comment: c}})
			if _, err := o.pass(t, id); (err != nil) != (kovra.KindOf(tt.unread) == kovra.Unavailable) {
				t.Fatal(err)
			}
			if got := o.action(id); got.State != tt.state {
				t.Errorf("state %q, want %q: %+v", got.State, tt.state, got.Outcome)
			}
			if got := strings.Contains(strings.Join(o.calls, " "), "retry"); got != tt.calls {
				t.Errorf("retried: %t, want %t", got, tt.calls)
			}
		})
	}
}

// TestCommentsOnProtectedBranches: with the bot's token a comment does no more on a protected branch than its author may there. The
// ref of a pipeline of a merge request is no branch, so the branch of the merge request counts as well.
func TestCommentsOnProtectedBranches(t *testing.T) {
	down := &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab is down.", Err: errors.New("reset")}
	tests := []struct {
		name           string
		kind           kovra.ActionKind
		source, closed string
		level          int
		own            bool
		hidden         error
		state          kovra.ActionState
	}{
		{"no branch is protected", kovra.ActRetry, "faster", "", 30, false, nil, kovra.ActionDone},
		{"the branch of the merge request", kovra.ActRetry, "release", "release", 30, false, nil, kovra.ActionFailed},
		{"the branch of the pipeline", kovra.ActCancel, "faster", "main", 30, false, nil, kovra.ActionFailed},
		{"of a fork, with a pipeline here", kovra.ActRetry, "", "main", 30, false, nil, kovra.ActionFailed},
		{"a build", kovra.ActBuild, "release", "release", 30, false, nil, kovra.ActionFailed},
		{"a Maintainer", kovra.ActRetry, "release", "release", 40, false, nil, kovra.ActionDone},
		{"with an account of their own", kovra.ActRetry, "release", "release", 30, true, nil, kovra.ActionDone},
		{"GitLab cannot be asked", kovra.ActRetry, "release", "release", 40, false, down, kovra.ActionWanted},
		{"GitLab does not show it", kovra.ActRetry, "release", "release", 40, false, errDenied, kovra.ActionFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t)
			run := o.failedRun(t)
			by := kovra.Person{GitLab: kovra.GitLabUser{ID: 7, Username: "alice"}}
			o.accounts[""], o.bots, o.level, o.said = by.GitLab, !tt.own, tt.level, "/kovra x"
			o.source, o.closed, o.hidden = tt.source, tt.closed, tt.hidden
			c := &kovra.Comment{Project: web, MR: 3, Note: 9, Text: "x", By: by.GitLab, Source: "told", Branch: "told"}
			id := o.propose(kovra.Action{Kind: tt.kind, App: "web", Run: run.ID, By: by, Params: kovra.Params{Comment: c}})
			if _, err := o.pass(t, id); (err != nil) != (kovra.KindOf(tt.hidden) == kovra.Unavailable) {
				t.Fatal(err)
			}
			got := o.action(id)
			done := got.State == kovra.ActionDone
			if tt.state == kovra.ActionDone != done || tt.state == kovra.ActionWanted != (got.State == kovra.ActionWanted) {
				t.Errorf("state %q, want %q: %+v", got.State, tt.state, got.Outcome)
			}
			if tt.state == kovra.ActionFailed && tt.hidden == nil && !strings.Contains(got.Outcome.Reason, "The branch "+tt.closed+" is protected") {
				t.Errorf("reason %q", got.Outcome.Reason)
			}
			if acted := strings.Contains(strings.Join(o.calls, " "), "retry"); acted != done {
				t.Errorf("retried: %t, want %t", acted, done)
			}
			if tt.own && slices.Contains(o.calls, "closed release") {
				t.Error("GitLab decides, and was asked before")
			}
		})
	}
}

// outsideOfCode is what GitLab reads: a span of code begins with some backticks and ends with as many.
func outsideOfCode(s string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "`")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		run := 1 + len(rest) - len(strings.TrimLeft(rest, "`"))
		rest = rest[run-1:]
		end := regexp.MustCompile("(^|[^`])`{" + strconv.Itoa(run) + "}([^`]|$)").FindStringIndex(rest)
		if end == nil {
			out.WriteString(strings.Repeat("`", run))
			s = rest
			continue
		}
		inside := strings.Index(rest[end[0]:], strings.Repeat("`", run)) + end[0] + run
		s = "x" + rest[inside:]
	}
}

// TestRepliesCannotCommandGitLab: what others named must not mention, link, draw or command anything in a merge request.
func TestRepliesCannotCommandGitLab(t *testing.T) {
	for _, name := range []string{
		"@all", "x\n/merge", "/close", "![x](https://evil.example/x.png)", "<img src=x>", "[ok](https://evil.example)", "https://evil.example",
		"www.evil.example", "#1", "!2", "~label", "%milestone", "$(id)", "**bold**", "_x_", "`@all`", "``@all``", "a`b", "&lt;", ":bomb:",
		"\u2028/approve", "group/project!1", "\u202e@all", "\u200b@all", "a\\@all", "&epic", "*iteration:1", "^alert#1", "---", "| a | b |", "> quote",
	} {
		said := quoted("The branch " + name + " was not found; " + name + ", says GitLab.")
		if strings.ContainsAny(said, "\n\r\u2028\u202e\u200b") {
			t.Errorf("%q: %q has more than one line, or what cannot be seen", name, said)
		}
		if outside := strings.TrimSuffix(outsideOfCode(said), "."); strings.ContainsAny(outside, "@/![]<>#~%$*_`&:\\^|+.") {
			t.Errorf("%q: %q leaves %q outside of code", name, said, outside)
		}
	}
	for said, want := range map[string]string{
		"": "",
		"Only a Maintainer's e-mail (or two) will do.": "Only a Maintainer's e-mail (or two) will do.",
		"No branch @all.":                     "No branch `@all`.",
		`Nobody is called "@all".`:            "Nobody is called `\"@all\"`.",
		"Connect first: type /kovra connect.": "Connect first: type `/kovra` connect.",
		"a ` b":                               "a `` ` `` b",
	} {
		if got := quoted(said); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
	for address, want := range map[string]string{
		"https://gitlab.example/a/-/pipelines/5": "[p](https://gitlab.example/a/-/pipelines/5)", "javascript:alert(1)": "p", "https://e/) @all": "p", "": "p",
		"https://e/x)[y](https://f": "p",
	} {
		if got := linkTo("p", address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}
