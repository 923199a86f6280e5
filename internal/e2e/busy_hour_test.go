package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/slacksim"
)

// A busy hour: so many apps, pipelines and people who look at their App Home.
const (
	busyApps      = 20
	busyPipelines = 200
	busyPeople    = 5
	busyHour      = time.Hour
)

// minuteLimits is how often Slack lets an app call a method in a minute, for the whole workspace. Posts are limited by
// channel, about one a second, with short bursts.
var minuteLimits = map[string]int{
	"chat.update": 50, "chat.postEphemeral": 100, "views.publish": 100, "views.open": 100, "views.update": 100,
	"users.info": 100, "users.conversations": 50, "conversations.info": 50, "conversations.members": 100, "conversations.join": 50,
	"conversations.history": 50, "conversations.replies": 50, "conversations.open": 50, "users.lookupByEmail": 50, "usergroups.users.list": 20,
	"auth.test": 600,
}

// postsAMinute is what one channel takes.
const postsAMinute = 60

// TestBusyHour plays an hour of a busy workspace against the whole program, in time that passes by itself, counts the calls to
// Slack minute by minute, and holds them against Slack's limits. The simulated Slack refuses what is too much; nothing may be refused.
func TestBusyHour(t *testing.T) {
	if testing.Short() {
		t.Skip("an hour, if a short one: not with -short")
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBusy(t)
		b.pass()
		b.report(t)
		b.stop()
	})
}

// busy is the world of a busy hour.
type busy struct {
	*world
	pipelines []gitlabsim.PipelineRef
	begun     time.Time
}

func newBusy(t *testing.T) *busy {
	t.Helper()
	w := &world{t: t, rnd: rand.New(rand.NewPCG(1, 1)), what: &tally{count: map[string]int{}}, seen: map[string]int{}, told: map[string]bool{}, erased: map[int64]string{}}
	b := &busy{world: w}
	w.slack = slacksim.New(slacksim.Options{
		BaseURL: slackURL, RequestURL: publicURL, Transport: slacksim.HandlerTransport(http.HandlerFunc(w.front)), Limits: true,
	})
	w.lab = gitlabsim.New(gitlabsim.Options{})
	w.lab.SetURL(labURL)
	w.lab.SetWebhookDelivery(w.deliver)
	w.lab.AddUser(gitlabsim.User{ID: 5, Username: "alice", Name: "Alice", PublicEmail: "alice@example.com"})
	w.slack.AddUser(slacksim.User{ID: alice, Name: "alice", IsAdmin: true, Email: "alice@example.com"})
	people := []string{alice}
	for i := range busyPeople - 1 {
		id := "UP" + strconv.Itoa(i)
		w.slack.AddUser(slacksim.User{ID: id, Name: "person" + strconv.Itoa(i)})
		people = append(people, id)
	}
	for i := range busyApps {
		id := int64(i + 1)
		w.lab.AddProject(gitlabsim.Project{ID: id, Path: fmt.Sprintf("group/app%d", i), Members: map[string]int{"alice": 40}})
		w.lab.SetCI(id, []string{"build", "test", "deploy"}, []gitlabsim.JobSpec{
			{Name: "build", Stage: "build"}, {Name: "unit", Stage: "test"}, {Name: "lint", Stage: "test"}, {Name: "ship", Stage: "deploy"},
		})
		w.slack.AddChannel(slacksim.Channel{ID: busyChannel(i), Name: fmt.Sprintf("app%d", i), Members: people})
	}
	w.cfg = configuration(t, filepath.Join(quickDir(t), "kovra.db"))
	w.start(&killer{what: w.what})
	w.settle(2 * time.Second)
	for i := range busyApps {
		seen, err := w.slack.Slash(t.Context(), alice, busyChannel(i), fmt.Sprintf("/kovra link app%d group/app%d", i, i))
		if err != nil || seen.Error != "" {
			t.Fatalf("link: %v %s", err, seen.Text())
		}
		w.settle(5 * time.Second)
	}
	// One of them wants to be told of every pipeline of theirs.
	if seen, err := w.slack.Slash(t.Context(), alice, busyChannel(0), "/kovra notify me all"); err != nil || seen.Error != "" {
		t.Fatalf("notify: %v %s", err, seen.Text())
	}
	w.settle(time.Minute)
	w.slack.ForgetCalls()
	b.begun = time.Now()
	return b
}

func busyChannel(i int) string { return fmt.Sprintf("CAPP%d", i) }

// pass lets the hour pass: pipelines begin evenly and run some minutes, each job a little while; people open their Home
// again and again, change what they look at, list pipelines and press buttons.
func (b *busy) pass() {
	every := busyHour / busyPipelines
	for i := range busyPipelines {
		project := int64(b.rnd.IntN(busyApps) + 1)
		_, ref := b.lab.Push(project, "main", fmt.Sprintf("Change %d", i), "alice")
		b.pipelines = append(b.pipelines, ref)
		for range 3 {
			b.work()
			b.send()
			b.settle(every / 3)
		}
		b.people(i)
	}
	for _, p := range b.pipelines {
		_ = b.lab.FinishPipeline(p.ProjectID, p.ID, "success")
	}
	b.send()
	b.settle(2 * time.Minute)
}

// work takes the moving pipelines a step on: a job starts, or ends, one in twenty badly.
func (b *busy) work() {
	for _, ref := range b.pipelines {
		switch p := b.lab.Pipeline(ref.ProjectID, ref.ID); {
		case p.Status != "running" && p.Status != "pending" && p.Status != "created":
		case b.rnd.IntN(3) > 0:
			b.step(ref)
		}
	}
}

func (b *busy) step(ref gitlabsim.PipelineRef) {
	for _, j := range b.lab.Jobs(ref.ProjectID, ref.ID) {
		switch j.Status {
		case "pending":
			_ = b.lab.StartJob(j.ID)
			return
		case "running":
			end := "success"
			if b.rnd.IntN(20) == 0 {
				end = "failed"
			}
			_ = b.lab.FinishJob(j.ID, end, "compiling\nerror: it broke\n", "script_failure")
			return
		}
	}
}

func (b *busy) send() { _ = b.lab.SendAll(b.t.Context()) }

// people look: each opens Home every few minutes, so that it is open for the whole hour.
func (b *busy) people(i int) {
	for n := range busyPeople {
		id := alice
		if n > 0 {
			id = "UP" + strconv.Itoa(n-1)
		}
		if (i+n*3)%20 == 0 {
			_ = b.slack.OpenHome(b.t.Context(), id)
			b.settle(time.Second)
			b.choose(id)
		}
		if (i+n*7)%25 == 0 {
			app := b.rnd.IntN(busyApps)
			_, _ = b.slack.Slash(b.t.Context(), id, busyChannel(app), fmt.Sprintf("/pipeline app%d", app))
		}
	}
}

// choose looks at the app of the newest pipeline, which moves.
func (b *busy) choose(id string) {
	v, ok := b.slack.HomeView(id)
	if !ok {
		b.t.Errorf("%s has no Home", id)
		return
	}
	app := fmt.Sprintf("app%d", b.pipelines[len(b.pipelines)-1].ProjectID-1)
	if _, err := b.slack.Choose(b.t.Context(), id, v.Ref(), "home_app", app); err != nil {
		b.t.Errorf("choose %s: %v", app, err)
	}
}

// report counts the calls minute by minute.
func (b *busy) report(t *testing.T) {
	t.Helper()
	total, peak, posts := map[string]int{}, map[string]int{}, map[string]int{}
	minutes := map[string]map[int]int{}
	count := func(key string, at time.Time) int {
		if minutes[key] == nil {
			minutes[key] = map[int]int{}
		}
		m := int(at.Sub(b.begun) / time.Minute)
		minutes[key][m]++
		return minutes[key][m]
	}
	for _, c := range b.slack.Calls() {
		if c.Outcome == "429" {
			t.Errorf("%s was refused: too many, after %v", c.Method, c.Time.Sub(b.begun))
		}
		total[c.Method]++
		peak[c.Method] = max(peak[c.Method], count(c.Method, c.Time))
		if c.Method == "chat.postMessage" {
			posts[c.Channel] = max(posts[c.Channel], count("post "+c.Channel, c.Time))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(total)) {
		limit, known := minuteLimits[m]
		t.Logf("%-24s %5d in the hour, %3d in its busiest minute, limit %d", m, total[m], peak[m], limit)
		if known && peak[m] > limit {
			t.Errorf("%s: %d in a minute, the limit is %d", m, peak[m], limit)
		}
	}
	for channel, n := range posts {
		if n > postsAMinute {
			t.Errorf("%d posts in a minute in %s", n, channel)
		}
	}
	if n := total["conversations.open"]; n != 1 {
		t.Errorf("conversations.open: %d in the hour, want one for the one person who is told alone", n)
	}
	for _, method := range []string{"chat.postMessage", "chat.update", "views.publish"} {
		if total[method] == 0 {
			t.Errorf("%s was never called: the hour shows nothing", method)
		}
	}
}
