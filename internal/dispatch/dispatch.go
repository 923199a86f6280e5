// Package dispatch makes the world match the state: it carries out what people
// asked for, asks GitLab where a webhook left a doubt, reads the logs of
// failed jobs, keeps those that are read or to be kept, and brings builds and deployments
// from wanted to done on a cluster.
//
// Its reconcilers are run by loops: [Runs] for pipelines, [Actions] for
// wishes, [Projects] for what no webhook told and for how webhooks are, [Token] for the bot's own token, [Notices] for what
// administrators are told, [Logs] for the logs of jobs, [Builds] and [Deployments]
// for what runs on the cluster, [StepLogs] for what their steps write. Each gets a key, reads the
// present from storage, talks to GitLab or the cluster and writes what came of it back. The
// permission of an action is checked here, right before its effect.
//
// It never talks to Slack about what happened (the projector shows state), except to
// join a channel, and it knows neither HTTP nor any SDK.
package dispatch

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Pipelines reads GitLab.
type Pipelines interface {
	// Pipeline is everything that GitLab tells of a pipeline, as a whole observation without Base and At.
	Pipeline(ctx context.Context, project, pipeline int64) (kovra.Observation, error)
	// Changed lists what was updated since a time, child pipelines included, and up to when that holds.
	Changed(ctx context.Context, project int64, since time.Time) ([]kovra.Run, time.Time, error)
	// Latest lists the newest pipelines, newest first.
	Latest(ctx context.Context, project int64, limit int) ([]kovra.Run, error)
	// Head is the commit that a branch points to.
	Head(ctx context.Context, project int64, branch string) (string, error)
}

// Controls changes pipelines. None of its calls is repeated by itself.
type Controls interface {
	CreatePipeline(ctx context.Context, project int64, ref string, vars []kovra.Variable, inputs map[string]string) (id int64, url string, err error)
	RetryPipeline(ctx context.Context, project, pipeline int64) error
	CancelPipeline(ctx context.Context, project, pipeline int64) error
	RetryJob(ctx context.Context, project, job int64) error
	PlayJob(ctx context.Context, project, job int64) error
}

// Starts finds out what became of a start that may have happened.
type Starts interface {
	// HighestPipeline is the highest pipeline id of a project; 0 when it has none.
	HighestPipeline(ctx context.Context, project int64) (int64, error)
	// FindPipeline looks for one that was started: above an id, on a ref, by the API and a user; "" is the bot's own.
	FindPipeline(ctx context.Context, project, above int64, ref, user string) (id int64, found bool, err error)
}

// Links connects projects.
type Links interface {
	Project(ctx context.Context, pathOrID string) (kovra.Project, error)
	// EnsureHook makes or mends the webhook of a project, so that it sends these events beside the usual ones.
	EnsureHook(ctx context.Context, project int64, url string, also HookEvents) (Hook, error)
	RemoveHook(ctx context.Context, project, hook int64) error
	// TestHook has GitLab send a sample by a webhook; nil once we have answered it with 2xx, which switches it on.
	TestHook(ctx context.Context, project, hook int64) error
	// Level is the role of whoever asks in a project, GitLab's number: 30 is a Developer, 40 a Maintainer.
	Level(ctx context.Context, project int64) (int, error)
}

// maintainer is GitLab's number of that role.
const maintainer = 40

// HookEvents are what a webhook sends beside pushes, jobs and pipelines.
type HookEvents struct {
	Tags, MergeRequests, Notes, Deployments, Releases bool
}

// Hook is the webhook of a project.
type Hook struct {
	ID      int64
	Created bool // just now
	Ours    bool // we made it, now or before
}

// Hands gives what people act with.
type Hands interface {
	// As returns GitLab as the person may use it: with their own account where people connect one, else the bot's.
	// The error is Unconnected when they must connect theirs first.
	As(ctx context.Context, p kovra.Person) (Hand, error)
	// Lost tells that GitLab accepts the person's account no more: it is forgotten, and they must connect again.
	Lost(ctx context.Context, p kovra.Person) error
}

// Hand is what one person acts with.
type Hand struct {
	Controls Controls
	Links    Links
	User     kovra.GitLabUser // whose account it is
	Own      bool             // it is the person's, not the bot's
}

// People finds out who somebody of GitLab is in Slack.
type People interface {
	// Match looks for the Slack user; a Match without one means that there is none. Errors are Unavailable.
	Match(ctx context.Context, u kovra.GitLabUser) (kovra.Match, error)
	// Disconnect takes a person's tokens back at GitLab, and forgets them. It reports whether there were any.
	Disconnect(ctx context.Context, slackUser string) (bool, error)
}

// Comments reads and writes in merge requests.
type Comments interface {
	// Comment is who wrote a comment, and what stands in it now.
	Comment(ctx context.Context, project, mr, note int64) (by kovra.GitLabUser, text string, err error)
	// Source is the branch that a merge request comes from; "": it is in a fork.
	Source(ctx context.Context, project, mr int64) (string, error)
	// Closed reports whether a branch is protected so that Developers may neither push to it nor merge into it. One that is gone is not.
	Closed(ctx context.Context, project int64, branch string) (bool, error)
	// MemberLevel is the role of a user in a project, GitLab's number.
	MemberLevel(ctx context.Context, project, user int64) (int, error)
	// ReplyNote answers in a discussion. Its end may be Unclear: then it is not tried again.
	ReplyNote(ctx context.Context, project, mr int64, discussion, text string) error
}

// Commits looks up single commits.
type Commits interface {
	// Commit is what a branch, tag or commit id stands for now; NotFound when there is no such.
	Commit(ctx context.Context, project int64, ref string) (kovra.Commit, error)
	// Branch is what a branch points to now, and never a tag.
	Branch(ctx context.Context, project int64, name string) (kovra.Commit, error)
	// Tags are the newest tags, at most so many.
	Tags(ctx context.Context, project int64, limit int) ([]kovra.Tag, error)
}

// Gate answers whether a person may do a thing; nil, or an error of kind Denied or Unavailable.
type Gate interface {
	May(ctx context.Context, p kovra.Person, need kovra.Permission, app string) error
}

// Channels lets the bot into channels.
type Channels interface {
	// Join reports whether the bot can post in the channel now; a private one must invite it. The error is [kovra.ErrDirect] for
	// a direct message of several people.
	Join(ctx context.Context, channel string) (bool, error)
}

// World is everything outside that dispatch talks to.
type World struct {
	Pipelines Pipelines
	Traces    Traces
	Controls  Controls
	Starts    Starts
	Links     Links
	Gate      Gate
	Channels  Channels
	Hands     Hands
	People    People
	Comments  Comments
	// Hooks and Self are asked how GitLab sees us, Admins who is told; nil: nobody looks, and nobody is told.
	Hooks  Hooks
	Self   Self
	Admins Administrators

	// Cluster is nil where no cluster is configured: builds are off then. The other
	// three are set where it is.
	Cluster Cluster
	Steps   Steps
	Targets Targets
	Commits Commits
}

// Options say how patient to be. Zero values give the defaults.
type Options struct {
	HookURL string // where GitLab's webhooks shall go; "": nobody knows, so none is made
	Log     *slog.Logger
	// Counted, if set, is told how every action ended, for metrics: done, asks, or, where it failed, the kind of the error.
	// It is called concurrently and must not block.
	Counted func(kind kovra.ActionKind, outcome string)

	Settle  time.Duration // how long a run must be quiet before a doubt is cleared; 500 ms
	Resync  time.Duration // between two re-reads of a project; 4 min
	GiveUp  time.Duration // after which an action that cannot be done is reported as failed; 10 min
	LookFor time.Duration // for how long a pipeline is looked for that may have been started; 20 s

	Retention time.Duration     // how old a job may be for its log to be fetched; 90 days
	Knowledge *joblog.Knowledge // what errors look like; nil: as joblog knows it

	BuildsAtOnce int    // that may be under way; 4
	Registry     string // image prefix of apps that have none of their own; "": none

	LookAgain time.Duration // a build or deployment of which the cluster told nothing is looked at; 2 min
	// LookPending is the same for one whose pods do not run yet: 10 s.
	LookPending time.Duration
	Notice      time.Duration // for how long the news of a failed step wait for its log; 30 s
	Tail        time.Duration // between two pictures of the newest lines of a build; 5 s
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Settle, 500*time.Millisecond)
	set(&o.Resync, 4*time.Minute)
	set(&o.GiveUp, 10*time.Minute)
	set(&o.LookFor, 20*time.Second)
	set(&o.Retention, 90*24*time.Hour)
	set(&o.LookAgain, 2*time.Minute)
	set(&o.LookPending, 10*time.Second)
	set(&o.Notice, 30*time.Second)
	set(&o.Tail, 5*time.Second)
	if o.Counted == nil {
		o.Counted = func(kovra.ActionKind, string) {}
	}
	o.BuildsAtOnce = cmp.Or(max(o.BuildsAtOnce, 0), 4)
	return o
}

// Dispatch holds what the reconcilers share.
type Dispatch struct {
	db    *storage.DB
	logs  *storage.Logs
	world World
	opts  Options
	born  time.Time // what was read before may miss what came while nobody was there

	vain       vain
	following  *followed
	entered    entered
	knocks     *knocks
	enabling   sync.Mutex  // of all webhooks
	tokenDoubt atomic.Bool // GitLab did not accept the bot's token somewhere
	tokenNew   atomic.Bool // it is another one now
}

// New returns a dispatcher; it does nothing until its reconcilers are run.
func New(db *storage.DB, logs *storage.Logs, world World, o Options) *Dispatch {
	return &Dispatch{db: db, logs: logs, world: world, opts: o.withDefaults(), born: db.Now(), vain: vain{since: map[int64]time.Time{}}, following: newFollowed(), knocks: newKnocks()}
}

// beforeStart reports whether something was last seen in a life of the program before this one. A clock that was set back to before
// the start cannot tell it, and would say so for ever: then it is not.
func (d *Dispatch) beforeStart(at time.Time) bool {
	return at.Before(d.born) && !d.db.Now().Before(d.born)
}

// reread asks GitLab what a pipeline really looks like and folds the answer.
func (d *Dispatch) reread(ctx context.Context, run kovra.Run) (kovra.Run, error) {
	o, err := d.world.Pipelines.Pipeline(ctx, run.Project, run.Remote)
	if err != nil {
		return run, err
	}
	o.Base, o.At = run.Version, d.db.Now()
	err = d.db.Update(ctx, func(tx *storage.Tx) (err error) {
		run, _, err = tx.Observe(o)
		return err
	})
	return run, err
}
