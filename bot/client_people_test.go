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

// TestClientFindsChannelsOfPeople: in pages, with the scopes that we have.
func TestClientFindsChannelsOfPeople(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{Scopes: []string{"channels:read", "groups:read"}})
	var want []string
	for i := range channelsPage + 5 {
		id := fmt.Sprintf("C%05d", i)
		sim.AddChannel(slacksim.Channel{ID: id, Name: id, Private: i%2 == 1, Members: []string{"U7", slacksim.BotUserID}})
		want = append(want, id)
	}
	sim.AddUser(slacksim.User{ID: "U7", Name: "mia"})
	sim.AddChannel(slacksim.Channel{ID: "CSHUT", Name: "shut", Private: true, Members: []string{"U7"}})
	sim.AddChannel(slacksim.Channel{ID: "CNOT", Name: "not", Members: []string{"U1"}})
	got, err := c.ChannelsOf(t.Context(), "U7")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d channels, %v, want %d", len(got), err, len(want))
	}
	if n := sim.CallCount("users.conversations"); n != 2 {
		t.Errorf("%d calls, want one for each page", n)
	}
	if _, err := c.ChannelsOf(t.Context(), "U404"); kovra.KindOf(err) != kovra.NotFound {
		t.Errorf("nobody: %v", err)
	}
	sim.Fault(slacksim.Status("users.conversations", 503))
	if _, err := c.ChannelsOf(t.Context(), "U7"); kovra.KindOf(err) != kovra.Unavailable {
		t.Errorf("Slack is down: %v", err)
	}
}

// TestMembersOutOfReach: what Slack says of one channel is told from what it says of the whole bot.
func TestMembersOutOfReach(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{Scopes: []string{"channels:read", "groups:read"}})
	sim.AddChannel(slacksim.Channel{ID: "D7", Direct: true, Members: []string{"U1", slacksim.BotUserID}})
	sim.AddChannel(slacksim.Channel{ID: "C7", Direct: true, Members: []string{"U1", "U2", slacksim.BotUserID}})
	sim.AddChannel(slacksim.Channel{ID: "CSHUT", Name: "shut", Private: true})
	sim.AddChannel(slacksim.Channel{ID: "COPEN", Name: "open"})
	for channel, want := range map[string]kovra.ErrorKind{"D7": kovra.Denied, "C7": kovra.Denied, "CSHUT": kovra.NotFound} {
		if _, err := c.Members(t.Context(), channel); kovra.KindOf(err) != want {
			t.Errorf("%s: %v, want %s", channel, err, want)
		}
	}
	for needed, want := range map[string]kovra.ErrorKind{
		"im:read": kovra.Denied, "groups:read,mpim:read": kovra.Denied, "groups:read": kovra.Conflict, "channels:read,groups:read,mpim:read,im:read": kovra.Conflict,
	} {
		_, err := answers(t, 200, fmt.Sprintf(`{"ok":false,"error":"missing_scope","needed":%q}`, needed)).Members(t.Context(), "COPEN")
		if kovra.KindOf(err) != want {
			t.Errorf("needed %s: %v, want %s", needed, err, want)
		}
	}
	for code, want := range map[string]kovra.ErrorKind{
		"team_access_not_granted": kovra.Denied, "missing_scope": kovra.Conflict, "invalid_auth": kovra.Conflict, "service_unavailable": kovra.Unavailable,
	} {
		sim.Fault(slacksim.ErrorCode("conversations.members", code))
		if _, err := c.Members(t.Context(), "COPEN"); kovra.KindOf(err) != want {
			t.Errorf("%s: %v, want %s", code, err, want)
		}
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

// TestDirectIsRemembered until Slack refuses something there.
func TestDirectIsRemembered(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{})
	opened := func() (n int) {
		for _, call := range sim.Calls() {
			if call.Method == "conversations.open" {
				n++
			}
		}
		return n
	}
	channel, err := c.Direct(t.Context(), "U1")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if again, err := c.Direct(t.Context(), "U1"); again != channel || err != nil {
			t.Errorf("again: %q, %v; want %q", again, err, channel)
		}
	}
	sim.Fault(slacksim.ErrorCode("chat.postMessage", "msg_too_long"))
	if err := c.Tell(t.Context(), "U1", "hi"); err == nil || opened() != 1 {
		t.Errorf("a text that is refused: %v, opened %d times; want 1", err, opened())
	}
	for n, code := range []string{"channel_not_found", "user_disabled"} {
		sim.Fault(slacksim.ErrorCode("chat.postMessage", code))
		if err := c.Tell(t.Context(), "U1", "hi"); err == nil {
			t.Errorf("%s: no error", code)
		}
		if err := c.Tell(t.Context(), "U1", "hi"); err != nil || opened() != n+2 {
			t.Errorf("after %s: %v, opened %d times, want %d", code, err, opened(), n+2)
		}
	}
}

// TestDirectsAreBounded: there are larger workspaces than what is remembered.
func TestDirectsAreBounded(t *testing.T) {
	_, c := simWith(t, slacksim.Options{})
	c.directs = map[string]string{}
	for i := range mostDirects {
		c.directs[fmt.Sprint("X", i)] = fmt.Sprint("D", i)
	}
	if _, err := c.Direct(t.Context(), "U1"); err != nil || len(c.directs) > mostDirects || c.directs["U1"] == "" {
		t.Errorf("%d are remembered, %v", len(c.directs), err)
	}
}
