package slacksim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/slacksim"
)

func TestSharedChannel(t *testing.T) {
	sharing := func(t *testing.T, w *world) string {
		t.Helper()
		c, err := w.api.GetConversationInfoContext(t.Context(), &slack.GetConversationInfoInput{ChannelID: "C1"})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(c.IsShared, c.IsExtShared, c.IsOrgShared, c.IsPendingExtShared, c.SharedTeamIDs, c.InternalTeamIDs, c.ConnectedTeamIDs, c.PendingShared)
	}
	for _, c := range []struct {
		name string
		set  func(*slacksim.Channel)
		want string
	}{
		{"not", func(*slacksim.Channel) {}, "false false false false [T0SIM] [] [] []"},
		{"with others", func(c *slacksim.Channel) { c.ExtShared = true }, "true true false false [T0SIM T0OTHER] [] [T0OTHER] []"},
		{"others are invited", func(c *slacksim.Channel) { c.PendingExtShared = true }, "false false false true [T0SIM] [] [] [T0OTHER]"},
		{"inside the enterprise", func(c *slacksim.Channel) { c.OrgShared = true }, "true false true false [T0SIM T0SISTER] [T0SIM T0SISTER] [] []"},
	} {
		w := newWorld(t)
		w.SetChannel("C1", c.set)
		if got := sharing(t, w); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestShareSendsEvents(t *testing.T) {
	var got []string
	app := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var e struct {
			Shared bool `json:"is_ext_shared_channel"`
			Event  struct {
				Type     string `json:"type"`
				Channel  string `json:"channel"`
				Team     string `json:"connected_team_id"`
				Previous string `json:"previously_connected_team_id"`
			} `json:"event"`
		}
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprint(e.Shared, e.Event))
	})
	sim := slacksim.New(slacksim.Options{RequestURL: "http://app.test", Transport: slacksim.HandlerTransport(app)})
	sim.AddChannel(slacksim.Channel{ID: "C1", Name: "one", Members: []string{slacksim.BotUserID}})
	if err := sim.Share(t.Context(), "C1"); err != nil {
		t.Fatal(err)
	}
	if err := sim.Unshare(t.Context(), "C1"); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]string{"true {channel_shared C1 T0OTHER }", "false {channel_unshared C1  T0OTHER}"})
	if fmt.Sprint(got) != want {
		t.Errorf("events %v, want %s", got, want)
	}
	if err := sim.Share(t.Context(), "C9"); err == nil {
		t.Error("a channel that does not exist was shared")
	}
}
