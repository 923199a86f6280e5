package bot

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
)

func TestChannels(t *testing.T) {
	sim, c := simWith(t, slacksim.Options{})
	sim.AddChannel(slacksim.Channel{ID: "C2", Name: "two"})
	sim.AddChannel(slacksim.Channel{ID: "C3", Name: "ours", Private: true, Members: []string{slacksim.BotUserID}})
	sim.AddChannel(slacksim.Channel{ID: "C4", Name: "theirs", Private: true, Members: []string{"U1"}})
	sim.AddChannel(slacksim.Channel{ID: "C5", Name: "gone", Archived: true})
	got, err := c.Channels(t.Context())
	want := map[string]string{"C1": "one", "C2": "two", "C3": "ours"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, channels (-want +got):\n%s", err, diff)
	}
}

// TestManyChannels: a workspace has more than one page of them, and Slack may ask for a pause between two pages.
func TestManyChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := simWith(t, slacksim.Options{})
		const many = 2*channelsPage + 1
		for i := range many {
			sim.AddChannel(slacksim.Channel{ID: fmt.Sprintf("C1%06d", i), Name: fmt.Sprintf("channel-%d", i)})
		}
		second := slacksim.RateLimit("conversations.list", 40*time.Second).Where(func(k slacksim.Call) bool { return k.Form.Get("cursor") != "" })
		sim.Fault(second)
		began := time.Now()
		got, err := c.Channels(t.Context())
		if took := time.Since(began); err != nil || len(got) != many+1 || took < 40*time.Second || took > time.Minute {
			t.Errorf("%d channels after %v, error %v", len(got), took, err)
		}
		sim.Fault(second.Times(-1))
		began = time.Now()
		if _, err := c.Channels(t.Context()); kovra.KindOf(err) != kovra.Unavailable || time.Since(began) > channelsPatience {
			t.Errorf("Slack asks again and again: error %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Channels(ctx); kovra.KindOf(err) != kovra.Unavailable {
			t.Errorf("cancelled: error %v", err)
		}
	})
}
