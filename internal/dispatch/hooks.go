package dispatch

import (
	"context"
	"errors"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// hook makes the project's webhook or finds it, so that it sends all that anybody wants to hear of, the wish in hand
// included, and records in out what to tell. A refusal is no failure: the hook can be set up by hand.
func (a Actions) hook(ctx context.Context, hand Hand, act kovra.Action, project int64, out *kovra.Outcome) (Hook, error) {
	out.Hook = kovra.HookByHand
	if a.opts.HookURL == "" {
		out.HookNote = "KOVRA_PUBLIC_URL is not set, so I cannot tell GitLab where to send its events"
		return Hook{}, nil
	}
	events, err := a.events(ctx, act, project)
	if err != nil {
		return Hook{}, err
	}
	hook, err := hand.Links.EnsureHook(ctx, project, a.opts.HookURL, events)
	switch kind := kovra.KindOf(err); {
	case err != nil && (kind == kovra.Unavailable || kind == kovra.Unconnected):
		return hook, err
	case err != nil:
		out.HookNote = kovra.PublicText(err)
		return Hook{}, nil
	}
	out.Hook = kovra.HookFound
	if hook.Created {
		out.Hook = kovra.HookCreated
	}
	return hook, nil
}

// events are what the webhook of a project must send beside the usual: what is wanted of it now, and what is wanted with
// the wish in hand.
func (a Actions) events(ctx context.Context, act kovra.Action, project int64) (HookEvents, error) {
	var e HookEvents
	err := a.db.Read(ctx, func(tx *storage.Tx) error {
		own, err := tx.Subscriptions(storage.SubscriptionQuery{App: act.App}) // it may not be linked yet
		if err != nil {
			return err
		}
		e, err = eventsOf(tx, project, append(own, kovra.Subscription{Filter: act.Params.Filter})...)
		return err
	})
	return e, err
}

// wanted is what the webhook of a project must send beside the usual.
func (d *Dispatch) wanted(ctx context.Context, project int64) (e HookEvents, err error) {
	err = d.db.Read(ctx, func(tx *storage.Tx) (err error) {
		e, err = eventsOf(tx, project)
		return err
	})
	return e, err
}

// eventsOf is what apps and channels of a project want: tags that an app builds, and what channels hear of. Comments come with
// merge requests.
func eventsOf(tx *storage.Tx, project int64, also ...kovra.Subscription) (HookEvents, error) {
	var e HookEvents
	topics, err := tx.TopicsOf(project)
	if err != nil {
		return e, err
	}
	for _, s := range also {
		for _, t := range kovra.Topics() {
			topics[t] = topics[t] || s.Filter.Has(t)
		}
	}
	apps, err := tx.AppsOfProject(project)
	for _, app := range apps {
		set, failed := tx.BuildSettings(app.Name)
		e.Tags, err = e.Tags || set.Tags != "", errors.Join(err, failed)
	}
	e.Tags = e.Tags || topics[kovra.TopicTags]
	e.MergeRequests, e.Notes = topics[kovra.TopicMergeRequests], topics[kovra.TopicMergeRequests]
	e.Deployments, e.Releases = topics[kovra.TopicDeployments], topics[kovra.TopicReleases]
	return e, err
}
