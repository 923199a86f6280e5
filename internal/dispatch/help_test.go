package dispatch

import (
	"strings"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

func TestHelpText(t *testing.T) {
	both := []string{"api", "web"}
	for said, c := range map[string]struct {
		apps    []string
		comment kovra.Comment
		want    string
	}{
		"":              {both, kovra.Comment{}, "I understand `/kovra retry`"},
		"help":          {both, kovra.Comment{}, "I understand `/kovra retry`"},
		"dance web":     {both, kovra.Comment{}, "I understand `/kovra retry`"},
		"build":         {both, kovra.Comment{Branch: "topic"}, "Which app shall I build? This project has `api`, `web`: write `/kovra build api`."},
		"build docs":    {both, kovra.Comment{Branch: "topic"}, "I know no app of that name here. The apps of this project: `api`, `web`."},
		"build web":     {both, kovra.Comment{}, "is in a fork"},
		"retry":         {both, kovra.Comment{}, "I know of no pipeline"},
		"cancel web":    {both, kovra.Comment{}, "I know of no pipeline"},
		"retry @here":   {both, kovra.Comment{}, "I know no app of that name here."},
		"build nothing": {nil, kovra.Comment{}, "No app is linked"},
	} {
		c.comment.Text = said
		got := helpText(&c.comment, c.apps)
		if !strings.Contains(got, c.want) || strings.Contains(got, "@") {
			t.Errorf("%q: got %q, want %q", said, got, c.want)
		}
	}
}

// A comment that cannot be followed is answered where it was written.
func TestHelpIsAnswered(t *testing.T) {
	o := newOffice(t)
	c := &kovra.Comment{Project: web, Note: 5, MR: 3, Discussion: "d", Text: "dance"}
	o.author, o.said = 1, "/kovra dance"
	id := o.propose(kovra.Action{Kind: kovra.ActHelp, Lock: "note/7/5", By: kovra.Person{GitLab: kovra.GitLabUser{ID: 1, Username: "ann"}}, Params: kovra.Params{Comment: c}})
	d := o.dispatch()
	if _, err := d.Actions().Reconcile(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if ok, err := d.Replies().Reply(t.Context(), id); !ok || err != nil {
		t.Fatalf("got %t, %v", ok, err)
	}
	if len(o.notes) != 1 || !strings.Contains(o.notes[0], "/kovra retry") {
		t.Errorf("got %q", o.notes)
	}
}
