package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/slacksim"
)

// storyState is what the page says about the story.
type storyState struct {
	Text string `json:"text"` // what happens now; "" before and after
	Over bool   `json:"over"` // the visitor has the word
}

// patience is how long the story waits for one thing to happen.
const patience = 20 * time.Second

// tell plays the beginning: two apps are linked by real commands, commits are
// pushed, one pipeline breaks. Then it leaves the stage.
func (w *world) tell(ctx context.Context) error {
	err := w.beginning(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the demo was ended, which is no failure of the story
	}
	if err != nil {
		w.log.ErrorContext(ctx, "the story ended early", "err", err)
	}
	w.say("", true)
	return nil
}

func (w *world) beginning(ctx context.Context) error {
	w.chat(bob, deploys, "Morning! The voucher fix is reviewed, I am waiting for the catalog change to go through.")
	w.say("Alice links the app web to its GitLab project: /kovra link web group/web", false)
	if err := w.command(ctx, deploys, "/kovra link web group/web"); err != nil {
		return err
	}
	if err := w.until(ctx, func() bool { return len(w.gitlab.Hooks(w.web.ID)) > 0 }); err != nil {
		return fmt.Errorf("wait for the webhook: %w", err)
	}
	if w.cluster != nil {
		w.say("She says which Deployment runs it: /build settings", false)
		if err := w.target(ctx, "web", shopNamespace, "web"); err != nil {
			return err
		}
	}
	w.say("Bob pushes a commit", false)
	green := w.push(w.web.ID, "main", "Cache the catalog for a minute", "bob", "", "", true)
	if err := w.command(ctx, apiTeam, "/kovra link api group/api"); err != nil {
		return err
	}
	if err := w.until(ctx, func() bool { return w.ended(green) }); err != nil {
		return fmt.Errorf("wait for the first pipeline: %w", err)
	}
	w.pushSpecial(nightly) // runs on when the story is over, for whoever opens its log
	w.push(w.api.ID, "main", "Refund partial payments", "alice", "", "", false)
	w.chat(alice, deploys, "Green. Pushing the vouchers now.")
	w.say("Alice pushes the voucher fix. Watch its card change", false)
	red := w.push(w.web.ID, "main", "Apply vouchers to every item", "alice", "unit", "go-test", false)
	if err := w.until(ctx, func() bool { return w.ended(red) }); err != nil {
		return fmt.Errorf("wait for the second pipeline: %w", err)
	}
	w.say("A test failed. Its lines are in the thread", false)
	return w.until(ctx, w.toldOfFailure)
}

// say changes the caption of the story.
func (w *world) say(text string, over bool) {
	w.mu.Lock()
	w.story = storyState{Text: text, Over: over}
	w.mu.Unlock()
	w.labMoved.tell()
}

// chat lets a person say something in a channel. A person that is missing says nothing.
func (w *world) chat(user, channel, text string) {
	_, _ = w.slack.Say(user, channel, "", text)
}

// command types a slash command for Alice.
func (w *world) command(ctx context.Context, channel, line string) error {
	seen, err := w.slack.Slash(ctx, alice, channel, line)
	if err == nil && seen.Error != "" {
		err = fmt.Errorf("slack shows %s", seen.Error)
	}
	if err != nil {
		return fmt.Errorf("type %s: %w", line, err)
	}
	return nil
}

// target fills in, for Alice, which Deployment runs an app. Whoever looks at her screen
// does not see the form.
func (w *world) target(ctx context.Context, app, namespace, deployment string) error {
	w.hide(alice)
	defer w.hide("")
	if err := w.command(ctx, deploys, "/build settings "+app); err != nil {
		return err
	}
	if err := w.until(ctx, func() bool { return len(w.slack.Views(alice)) > 0 }); err != nil {
		return fmt.Errorf("wait for the settings: %w", err)
	}
	form := w.slack.Views(alice)[0].ID
	seen, err := w.slack.Submit(ctx, alice, form, map[string]string{"target_namespace": namespace, "deployment": deployment})
	switch {
	case err != nil:
		return fmt.Errorf("fill in the settings: %w", err)
	case seen.Error != "" || len(seen.Errors) > 0:
		return fmt.Errorf("fill in the settings: slack shows %s %v", seen.Error, seen.Errors)
	default:
		return nil
	}
}

// hide keeps the forms of a person from the page; "": of nobody.
func (w *world) hide(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hidden = user
}

// until waits for something, but not for ever.
func (w *world) until(ctx context.Context, cond func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (w *world) ended(ref gitlabsim.PipelineRef) bool {
	status := w.gitlab.Pipeline(ref.ProjectID, ref.ID).Status
	return status == "success" || status == "failed" || status == "canceled"
}

// toldOfFailure is true once the lines of the failure stand in a thread.
func (w *world) toldOfFailure() bool {
	for _, m := range w.slack.Messages(deploys) {
		for _, r := range w.slack.Replies(deploys, m.TS) {
			if strings.Contains(slacksim.Text(r), "```") {
				return true
			}
		}
	}
	return false
}
