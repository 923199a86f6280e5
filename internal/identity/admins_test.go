package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"kovra.dev/chatops/internal/kovra"
)

// directory is a workspace with these people.
type directory struct {
	users []kovra.SlackUser
	err   error
	asked int
}

func (d *directory) Administrators(context.Context) ([]kovra.SlackUser, error) {
	d.asked++
	return d.users, d.err
}

func TestAdministrators(t *testing.T) {
	ws := []kovra.SlackUser{
		{ID: "UB", Admin: true},
		{ID: "UNAMED", Admin: true},
		{ID: "UC"},
		{ID: "UD", Admin: true, Deleted: true},
		{ID: "UE", Admin: true, Bot: true},
		{ID: "UF", Admin: true, Foreign: true},
		{ID: "UG", Admin: true},
	}
	for name, c := range map[string]struct {
		admins []string
		want   []string
		asks   bool
	}{
		"named alone":        {[]string{"UNAMED", "UA"}, []string{"UNAMED", "UA"}, false},
		"of the workspace":   {[]string{WorkspaceAdmins}, []string{"UB", "UNAMED", "UG"}, true},
		"both, nobody twice": {[]string{"UNAMED", WorkspaceAdmins}, []string{"UNAMED", "UB", "UG"}, true},
		"none":               {nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := &directory{users: ws}
			got, err := New(Options{Slack: newSlack(), Admins: c.admins, Directory: d}).Administrators(t.Context())
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
			if (d.asked > 0) != c.asks {
				t.Errorf("Slack was asked %d times", d.asked)
			}
		})
	}
}

func TestAdministratorsAreBounded(t *testing.T) {
	d := &directory{}
	for i := range 200 {
		d.users = append(d.users, kovra.SlackUser{ID: fmt.Sprint("U", i), Admin: true})
	}
	got, err := New(Options{Slack: newSlack(), Admins: []string{"UNAMED", WorkspaceAdmins}, Directory: d}).Administrators(t.Context())
	if err != nil || len(got) != maxAdministrators || got[0] != "UNAMED" {
		t.Errorf("%d administrators, %v", len(got), err)
	}
}

func TestAdministratorsWhileSlackIsDown(t *testing.T) {
	d := &directory{err: errors.New("no connection")}
	if _, err := New(Options{Slack: newSlack(), Admins: []string{"UA", WorkspaceAdmins}, Directory: d}).Administrators(t.Context()); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("got %v", err)
	}
}
