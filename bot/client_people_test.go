package bot

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
)

func TestClientFindsPeople(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{})
	ctx := t.Context()
	sim.AddUser(slacksim.User{ID: "U7", Name: "mia", Email: "mia@example.com"})
	sim.AddUser(slacksim.User{ID: "U8", Name: "gone", Email: "gone@example.com", Deleted: true})
	sim.AddUserGroup("S1", "U7", "U8")

	mia := kovra.SlackUser{ID: "U7", Name: "mia", Team: slacksim.TeamID, Email: "mia@example.com"}
	got, err := c.UserByEmail(ctx, "mia@example.com")
	if diff := cmp.Diff(mia, got); diff != "" || err != nil {
		t.Errorf("UserByEmail: %v\n%s", err, diff)
	}
	if _, err := c.UserByEmail(ctx, "nobody@example.com"); kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("an address that nobody has: %v", err)
	}
	if gone, err := c.User(ctx, "U8"); err != nil || !gone.Deleted {
		t.Errorf("who has left: %+v, %v", gone, err)
	}
	members, err := c.GroupMembers(ctx, "S1")
	if !slices.Equal(members, []string{"U7", "U8"}) || err != nil {
		t.Errorf("GroupMembers = %v, %v", members, err)
	}
	if _, err := c.GroupMembers(ctx, "S9"); kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("an unknown group: %v", err)
	}
	sim.Fault(slacksim.Status("usergroups.users.list", 503))
	if _, err := c.GroupMembers(ctx, "S1"); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("Slack is down: %v", err)
	}
}

func TestClientFindsAdministrators(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{})
	for i := range 2*peopleAtOnce + 10 {
		sim.AddUser(slacksim.User{ID: fmt.Sprintf("U%05d", i), Name: fmt.Sprint("user", i), IsAdmin: i%500 == 7, Deleted: i == 507, IsBot: i == 3})
	}
	got, err := c.Administrators(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, u := range got {
		ids = append(ids, u.ID)
	}
	if !slices.Equal(ids, []string{"U1", "U00007", "U01007"}) { // alice of every such world is one
		t.Errorf("administrators %v", ids)
	}
	if n := called(sim, "users.list"); n != 3 {
		t.Errorf("Slack was asked %d times", n)
	}
	sim.Fault(slacksim.Status("users.list", 503))
	if _, err := c.Administrators(t.Context()); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("Slack is down: %v", err)
	}
}

// called is how often Slack has done what a method asks for.
func called(sim *slacksim.Server, method string) int {
	n := 0
	for _, k := range sim.Calls() {
		if k.Method == method && (k.Outcome == "ok" || k.Outcome == "lost") {
			n++
		}
	}
	return n
}
