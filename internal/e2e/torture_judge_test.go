package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"kovra.dev/chatops/internal/app"
	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// behind says what the program, while it lives, has yet to catch up with; "" when all is quiet.
func (x *torture) behind() string {
	if x.sending.Load() || len(x.lab.Waiting()) > 0 {
		return "webhooks are on their way"
	}
	db, err := storage.Open(x.ctx, storage.Options{Path: filepath.Join(x.dir, "kovra.db")})
	if err != nil {
		return err.Error()
	}
	defer db.Close()
	for ref, err := range db.Dirty(x.ctx) {
		return fmt.Sprint(ref, err)
	}
	left := ""
	err = db.Read(x.ctx, func(tx *storage.Tx) error {
		return errors.Join(x.unseen(tx, &left), unanswered(tx, &left))
	})
	if err := errors.Join(err, x.unkept(&left)); err != nil {
		return err.Error()
	}
	for _, r := range x.cluster.sim.Runs() {
		if r.Status != "True" && r.Status != "False" {
			left = "build " + r.Name + " runs"
		}
	}
	return left
}

// unseen: a pipeline that is here not what it is at GitLab.
func (x *torture) unseen(tx *storage.Tx, left *string) error {
	runs, err := tx.Runs(storage.RunQuery{Project: web, Limit: 10000})
	known := map[int64]kovra.Status{}
	for _, r := range runs {
		known[r.Remote] = r.Status
	}
	for _, p := range x.lab.Pipelines(web) {
		if p.Source != "parent_pipeline" && string(known[p.ID]) != p.Status {
			*left = fmt.Sprintf("pipeline %d is %s at GitLab and %q here", p.ID, p.Status, known[p.ID])
		}
	}
	return err
}

// unanswered: the answer of a request that died with its process is nobody's for ten seconds, and not dirty so long.
func unanswered(tx *storage.Tx, left *string) error {
	actions, err := tx.Actions(storage.ActionQuery{Limit: 1 << 20})
	for _, a := range actions {
		if !a.Answered {
			*left = fmt.Sprintf("action %d (%s) has no answer yet", a.ID, a.Kind)
		}
	}
	return err
}

// unkept: a log that is to be kept has its time, a minute after its reader was killed.
func (x *torture) unkept(left *string) error {
	soon := func() time.Time { return time.Now().Add(time.Hour) } // the time of all has come by then
	logs, err := storage.OpenLogs(x.ctx, storage.LogsOptions{Path: filepath.Join(x.dir, "kovra-logs.db"), Now: soon})
	if err != nil {
		return err
	}
	defer logs.Close()
	ids, err := logs.Open(x.ctx, soon(), 1)
	if len(ids) > 0 {
		*left = fmt.Sprintf("log %d is not kept yet", ids[0])
	}
	return err
}

// dirty counts what the program has yet to look at.
func (x *torture) dirty() string {
	db, err := storage.Open(x.ctx, storage.Options{Path: filepath.Join(x.dir, "kovra.db")})
	if err != nil {
		return err.Error()
	}
	defer db.Close()
	count := map[kovra.RefKind]int{}
	for ref, err := range db.Dirty(x.ctx) {
		if err != nil {
			return err.Error()
		}
		count[ref.Kind]++
	}
	return fmt.Sprintf("to be looked at: %v", count)
}

// problems judges, once the program has ended: its files are opened as its next life would, and nothing is done.
func (x *torture) problems() []string {
	ctx := context.WithoutCancel(x.ctx)
	cfg, err := config.Load(x.environment(), "")
	if err != nil {
		return []string{err.Error()}
	}
	a, err := app.New(ctx, cfg, app.Options{})
	if err != nil {
		return []string{err.Error()}
	}
	defer a.Close()
	x.w.app = a
	var out []string
	x.w.stateProblems(ctx, &out)
	err = a.DB().Read(ctx, func(tx *storage.Tx) error {
		if err := x.deliveryProblems(tx, &out); err != nil {
			return err
		}
		if err := x.actionProblems(tx, &out); err != nil {
			return err
		}
		return x.buildProblems(tx, &out)
	})
	if err != nil {
		out = append(out, err.Error())
	}
	x.secretProblems(&out)
	return out
}

// deliveryProblems: what was acknowledged is kept, and was looked at.
func (x *torture) deliveryProblems(tx *storage.Tx, out *[]string) error {
	kept, err := tx.Deliveries(storage.DeliveryQuery{Limit: 1 << 20})
	if err != nil {
		return err
	}
	became := map[string]kovra.Delivery{}
	for _, d := range kept {
		became[d.Key] = d
	}
	for _, d := range x.lab.Deliveries() {
		if d.Status < 200 || d.Status > 299 {
			continue
		}
		switch k, found := became[d.Header.Get("Idempotency-Key")]; {
		case !found:
			*out = append(*out, fmt.Sprintf("a %s was acknowledged and is lost", d.Event))
		case k.Outcome == kovra.DeliveryPending, k.Outcome == kovra.DeliveryDead:
			*out = append(*out, fmt.Sprintf("a %s was acknowledged and is %q: %s", d.Event, k.Outcome, k.Note))
		}
	}
	return nil
}

// actionProblems: what was promised was done, or it was told that it was not.
func (x *torture) actionProblems(tx *storage.Tx, out *[]string) error {
	actions, err := tx.Actions(storage.ActionQuery{Limit: 1 << 20})
	if err != nil {
		return err
	}
	starts := 0
	for _, a := range actions {
		if !a.Answered {
			*out = append(*out, fmt.Sprintf("action %d (%s) was never answered", a.ID, a.Kind))
		}
		if a.Kind == kovra.ActRun {
			starts++
			x.what.add(fmt.Sprintf("start %s %s", a.State, a.Outcome.Reason), 1)
		}
	}
	if starts < len(x.promised) {
		*out = append(*out, fmt.Sprintf("%d starts were promised, %d are known", len(x.promised), starts))
	}
	return nil
}

// buildProblems: every build has ended as the cluster says, and was made once.
func (x *torture) buildProblems(tx *storage.Tx, out *[]string) error {
	builds, err := tx.Builds(storage.BuildQuery{App: "web", Limit: 1 << 20})
	if err != nil {
		return err
	}
	real := map[string]string{}
	for _, r := range x.cluster.sim.Runs() {
		real[r.Name] = r.Status
	}
	for _, b := range builds {
		x.what.add("build "+string(b.Status), 1)
		status, made := real[b.Name]
		switch {
		case !b.Status.Final():
			*out = append(*out, fmt.Sprintf("build %d is %s", b.ID, b.Status))
		case made && (status == "True") != (b.Status == kovra.BuildSucceeded):
			*out = append(*out, fmt.Sprintf("build %d is %s here, and its end is %s in the cluster", b.ID, b.Status, status))
		}
		delete(real, b.Name)
	}
	for name := range real {
		*out = append(*out, fmt.Sprintf("PipelineRun %s belongs to no build", name))
	}
	return nil
}

// secretProblems: no token is in what the program wrote.
func (x *torture) secretProblems(out *[]string) {
	places, err := x.written()
	if err != nil {
		*out = append(*out, err.Error())
	}
	for where, text := range places {
		for _, secret := range []string{"xoxb-sim", "sim-secret", "glpat-sim", "sim-token", storySecret, oauthSecret} {
			if strings.Contains(text, secret) {
				*out = append(*out, fmt.Sprintf("%s holds the secret %q", where, secret))
			}
		}
	}
}
