package bot

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	// answerGrace is how long after its end an action's answer is left to the request
	// that asked for it.
	answerGrace = 10 * time.Second
	// responseLife is how long a response_url is used; Slack lets it live for 30 minutes.
	responseLife = 29 * time.Minute
)

// answerWriter is what answers need of Slack; [Client] has it.
type answerWriter interface {
	Respond(ctx context.Context, responseURL string, body any) error
	Ephemeral(ctx context.Context, to Spot, blocks []slack.Block, text string) error
	Tell(ctx context.Context, user, text string) error
}

// Answerer sends the private answers that came too late for the request that asked.
type Answerer struct {
	db    store
	slack answerWriter
	hook  Hook
	// connectURL is where a person signs in at GitLab; nil: nobody can connect.
	connectURL func(ctx context.Context, p kovra.Person) (string, error)

	now func() time.Time
	log *slog.Logger
}

// NewAnswerer returns an answerer; hook is what it tells those who must set up a webhook
// by hand, connect where somebody signs in at GitLab, nil where nobody can.
func NewAnswerer(db *storage.DB, client *Client, hook Hook, connect func(context.Context, kovra.Person) (string, error),
	now func() time.Time, log *slog.Logger,
) *Answerer {
	return &Answerer{db: db, slack: client, hook: hook, connectURL: connect, now: now, log: log}
}

// Reconcile answers the one who asked for an action, once it has ended and nobody waits
// for it inside a request. Class: at most once; the answer is claimed before it is sent,
// and what cannot be sent is logged and not repeated.
func (w *Answerer) Reconcile(ctx context.Context, action int64) (after time.Duration, err error) {
	var a kovra.Action
	var claimed bool
	var d Deed
	connect, err := w.address(ctx, action)
	if err != nil {
		return 0, err
	}
	err = w.db.Update(ctx, func(tx *storage.Tx) (err error) {
		claimed = false
		if a, err = tx.Action(action); err != nil || a.Open() || a.Answered || a.Params.Comment != nil {
			return err
		}
		if a.By.IsOperator() { // the command line looks for itself
			_, err = tx.ClaimAnswer(action)
			return err
		}
		if a.State == kovra.ActionWaits {
			claimed, err = w.claimPrompt(tx, a, &d)
			return err
		}
		if after = w.rest(a); after > 0 {
			return nil
		}
		if d, err = readDeed(tx, a, w.hook); err != nil {
			return err
		}
		claimed, err = tx.ClaimAnswer(action)
		return err
	})
	if kovra.KindOf(err) == kovra.NotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("claim answer of action %d: %w", action, err)
	}
	if !claimed {
		return after, nil
	}
	d.Connect = connect
	if err := w.send(ctx, a, RenderAction(d)); err != nil {
		w.log.WarnContext(ctx, "could not send a late answer", "action", a.ID, "err", err)
	}
	return 0, nil
}

// address is where the person of an action signs in at GitLab, if it waits for that. It is found before the prompt is
// claimed: without it nobody would ask them any more.
func (w *Answerer) address(ctx context.Context, action int64) (string, error) {
	if w.connectURL == nil {
		return "", nil
	}
	var a kovra.Action
	err := w.db.Read(ctx, func(tx *storage.Tx) (err error) {
		a, err = tx.Action(action)
		return orMissing(err)
	})
	if err != nil || a.State != kovra.ActionWaits || a.Answered || a.Params.Comment != nil {
		return "", err
	}
	address, err := w.connectURL(ctx, a.By)
	if err != nil {
		return "", fmt.Errorf("address to connect at: %w", err)
	}
	return address, nil
}

// claimPrompt claims that a person is asked to connect, unless a request still waits to do so.
func (w *Answerer) claimPrompt(tx *storage.Tx, a kovra.Action, d *Deed) (claimed bool, err error) {
	if !a.Late && kovra.Left(a.CreatedAt, answerGrace, w.now()) > 0 {
		return false, nil
	}
	if *d, err = readDeed(tx, a, w.hook); err != nil {
		return false, err
	}
	return tx.ClaimPrompt(a.ID)
}

// rest is how long the answer is still left to others.
func (w *Answerer) rest(a kovra.Action) time.Duration {
	if a.Late {
		return 0
	}
	return kovra.Left(a.FinishedAt, answerGrace, w.now())
}

// send takes the way that is still open: the address that came with the request, a
// message in the channel that one person sees, or a direct message.
func (w *Answerer) send(ctx context.Context, a kovra.Action, answer Answer) error {
	if a.ReplyURL != "" && w.now().Sub(a.CreatedAt) < responseLife {
		err := w.slack.Respond(ctx, a.ReplyURL, private(answer))
		if !nothingShown(err) {
			return err
		}
	}
	if a.Channel != "" {
		err := w.slack.Ephemeral(ctx, Spot{a.Channel, a.Params.Thread, a.By.ID}, answer.Blocks, answer.Text)
		if !nothingShown(err) {
			return err
		}
	}
	return w.slack.Tell(ctx, a.By.ID, answer.Text)
}

// nothingShown reports whether an answer has certainly not arrived: the address is used
// up, the person is not in the channel, Slack asks to wait. Then another way can be tried.
func nothingShown(err error) bool {
	return isRefusal(err) || kovra.KindOf(err) == kovra.Unavailable
}

// readDeed reads what the answer about an action shows.
func readDeed(tx *storage.Tx, a kovra.Action, hook Hook) (Deed, error) {
	d := Deed{Action: a, JobName: a.Params.JobName, App: kovra.App{Name: a.App}, Hook: hook}
	if run := cmp.Or(a.Outcome.Run, a.Run); run != 0 {
		r, err := tx.Run(run)
		if err := orMissing(err); err != nil {
			return d, err
		}
		d.Run = r
	}
	if a.App != "" {
		app, err := tx.App(a.App)
		if err := orMissing(err); err != nil {
			return d, err
		}
		d.App.Project = app.Project
	}
	if err := readBuildDeed(tx, &d); err != nil {
		return d, err
	}
	project := cmp.Or(d.Run.Project, d.App.Project)
	if project == 0 {
		return d, nil
	}
	p, err := tx.Project(project)
	if err := orMissing(err); err != nil {
		return d, err
	}
	d.Project = p
	if d.JobName == "" && a.Job != 0 {
		j, err := tx.Job(project, a.Job)
		if err := orMissing(err); err != nil {
			return d, err
		}
		d.JobName = j.Name
	}
	return d, nil
}

// readBuildDeed reads what the answer about an action of builds shows besides.
func readBuildDeed(tx *storage.Tx, d *Deed) (err error) {
	if !ofBuilds(d.Action.Kind) {
		return nil
	}
	if id := cmp.Or(d.Action.Outcome.Build, d.Action.Build); id != 0 {
		if d.Build, err = tx.Build(id); orMissing(err) != nil {
			return err
		}
	}
	d.Settings, err = tx.BuildSettings(d.Action.App)
	return err
}

// orMissing is err, or nil if it says only that there is no such thing: an answer shows
// what there is.
func orMissing(err error) error {
	if kovra.KindOf(err) == kovra.NotFound {
		return nil
	}
	return err
}
