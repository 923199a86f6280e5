package bot

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/reconcile"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// openGate lets everybody see all apps.
type openGate struct{ db *storage.DB }

func (openGate) May(context.Context, kovra.Person, kovra.Permission, string) error { return nil }

func (g openGate) Visible(ctx context.Context, _ kovra.Person) (apps []kovra.App, err error) {
	err = g.db.Read(ctx, func(tx *storage.Tx) error {
		apps, err = tx.Apps()
		return err
	})
	return apps, err
}

// busyHour is what App Home costs while much goes on.
type busyHour struct {
	homes, apps, pipelines, jobs int
	took                         time.Duration
	clickEvery                   time.Duration // of each person
}

// homeCost is what came of it.
type homeCost struct {
	calls, most, limited int
	clicks               int
	slowest              time.Duration // from a click to what it shows
}

// play lets pipelines run, evenly over the time, while people look at the apps and click now and then. Slack's limits
// are enforced, and the real loop publishes.
func (b busyHour) play(t *testing.T) (out homeCost) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.sim = slacksim.New(slacksim.Options{Limits: true})
		for i := range b.homes {
			s.sim.AddUser(slacksim.User{ID: fmt.Sprint("UH", i), Name: fmt.Sprint("h", i)})
		}
		s.client = testClient(t, s.sim)
		s.update(func(tx *storage.Tx) error {
			var errs []error
			for i := range b.apps {
				project, app := int64(testProject+i), fmt.Sprint("app", i)
				errs = append(errs, tx.SaveProject(kovra.Project{ID: project, Path: "group/" + app}), tx.SaveApp(kovra.App{Name: app, Project: project}))
			}
			return errors.Join(errs...)
		})
		stop := b.loop(s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.click(ctx, s, &out) }()
		for step := range b.pipelines * b.jobs {
			b.step(s, step)
			time.Sleep(b.took / time.Duration(b.pipelines*b.jobs))
		}
		cancel()
		<-done
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for id := range int64(b.homes) {
			if err := s.db.Read(t.Context(), func(tx *storage.Tx) error {
				h, err := tx.Home(id + 1)
				if h.ShownVersion < h.Version {
					t.Errorf("the Home of %s does not show the end", h.User)
				}
				return err
			}); err != nil {
				t.Error(err)
			}
		}
		stop()
		out.count(s.sim.Calls())
	})
	return out
}

func (out *homeCost) count(calls []slacksim.Call) {
	var made []time.Time
	for _, c := range calls {
		if c.Method != "views.publish" {
			continue
		}
		made = append(made, c.Time)
		if c.Outcome == "429" {
			out.limited++
		}
	}
	out.calls, out.most = len(made), mostInWindow(made)
}

// loop runs the loop that the program has.
func (b busyHour) loop(s *stage) (stop func()) {
	homes := NewHomes(HomesOptions{DB: s.db, Slack: s.client, Gate: openGate{s.db}, Log: quiet()})
	loop := reconcile.New(homes, reconcile.Options{Name: "homes", Workers: 4, Timeout: reconcile.DefaultTimeout})
	s.db.OnChange(func(refs []kovra.Ref) {
		for _, r := range refs {
			if r.Kind == kovra.RefHome {
				loop.Kick(r.ID)
			}
		}
	})
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

// click has each person look at an app, again and again, and measures how long it takes until they see it.
func (b busyHour) click(ctx context.Context, s *stage, out *homeCost) {
	for n := 0; ctx.Err() == nil; n++ {
		start, user := time.Now(), fmt.Sprint("UH", n%b.homes)
		app := fmt.Sprint("app", (n+n/b.homes)%b.apps)
		var version int64
		err := s.db.Update(ctx, func(tx *storage.Tx) error {
			h, err := tx.HomeOf(user)
			h.App, version = app, h.Version+1
			return errors.Join(err, tx.LookAtHome(h))
		})
		if err == nil {
			err = s.db.Await(ctx, func(tx *storage.Tx) (bool, error) {
				h, err := tx.HomeOf(user)
				return h.ShownVersion >= version, err
			})
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.t.Error(err)
		}
		out.clicks++
		out.slowest = max(out.slowest, time.Since(start))
		select {
		case <-ctx.Done():
		case <-time.After(b.clickEvery/time.Duration(b.homes) - time.Since(start)):
		}
	}
}

// step tells of one job of one pipeline; as many pipelines run at once as there are apps.
func (b busyHour) step(s *stage, step int) {
	batch := b.apps * b.jobs
	p := step/batch*b.apps + step%b.apps
	j := step % batch / b.apps
	status := kovra.Running
	if j == b.jobs-1 {
		status = kovra.Success
	}
	s.update(func(tx *storage.Tx) error {
		r := kovra.Run{Project: int64(testProject + p%b.apps), Remote: int64(100 + p), Ref: "main", SHA: "0123456789abcdef", Status: status, Stages: []string{"test"}}
		job := kovra.Job{ID: int64(step + 1), Name: fmt.Sprint("job", j), Stage: "test", Status: kovra.Success}
		_, _, err := tx.Observe(kovra.Observation{Run: r, Jobs: []kovra.Job{job}, At: time.Now()})
		return err
	})
}

// TestHomesOfABusyHour is the measure of the product: 5 people look while 200 pipelines of 20 apps run.
func TestHomesOfABusyHour(t *testing.T) {
	t.Parallel()
	b := busyHour{homes: 5, apps: 20, pipelines: 200, jobs: 20, took: time.Hour, clickEvery: 2 * time.Minute}
	got := b.play(t)
	t.Logf("%d calls, at most %d in a minute; %d clicks, the slowest shown after %v", got.calls, got.most, got.clicks, got.slowest)
	if got.most > publishInAll || got.limited != 0 {
		t.Errorf("%+v: too many calls", got)
	}
	if got.clicks < 100 || got.slowest > time.Second {
		t.Errorf("%+v: too slow", got)
	}
}

// TestHomesOfACrowd has far more people look at one app than Slack lets us refresh: each sees what they click at once.
func TestHomesOfACrowd(t *testing.T) {
	t.Parallel()
	b := busyHour{homes: 60, apps: 1, pipelines: 4, jobs: 40, took: 3 * time.Minute, clickEvery: 3 * time.Minute}
	got := b.play(t)
	t.Logf("%d calls, at most %d in a minute; %d clicks, the slowest shown after %v", got.calls, got.most, got.clicks, got.slowest)
	if got.most > publishInAll || got.limited != 0 {
		t.Errorf("%+v: too many calls", got)
	}
	if got.clicks < 55 || got.slowest > time.Second {
		t.Errorf("%+v: too slow", got)
	}
}
