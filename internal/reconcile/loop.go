// Package reconcile runs keyed control loops. It owns when a key is looked at:
// kicks of one key merge into one pass, a key is never in two hands at once,
// failures are tried again with growing pauses, and a shutdown lets the keys in
// hand finish.
//
// It is used by wrapping a Reconciler in a Loop: New, then Run in a goroutine
// of the caller, then Kick from anywhere. A kick is only a hint. What has to be
// done must be readable from durable state, because the queue is lost with the
// process; whoever owns that state kicks everything that is dirty at the start
// and every now and then.
//
// It never learns what a key means, never passes on what happened, and never
// stores anything.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// Defaults of Options.
const (
	DefaultTimeout = time.Minute
	DefaultGrace   = 5 * time.Second
)

// Reconciler brings the world to the state of one key. It reads the present; it
// is never told what happened.
//
// after > 0 asks to be called again for the key no later than after, without
// counting as a failure. An error asks to be called again after a pause that
// grows with each failure in a row; an error that has a method
// RetryAfter() time.Duration, anywhere in its chain, names the pause itself. One that has a method
// Told() bool that returns true was logged by somebody else. With an
// error, after is ignored.
//
// The context ends when the call has used up Options.Timeout, or when the loop
// has been told to stop and Options.Grace is over.
type Reconciler[K comparable] interface {
	Reconcile(ctx context.Context, key K) (after time.Duration, err error)
}

// Func is a Reconciler made of one function.
type Func[K comparable] func(ctx context.Context, key K) (time.Duration, error)

// Reconcile calls f.
func (f Func[K]) Reconcile(ctx context.Context, key K) (time.Duration, error) { return f(ctx, key) }

// Outcome says how one pass over a key ended. Its values serve as a metric label.
type Outcome string

// The outcomes of a pass.
const (
	Done     Outcome = "done"     // nothing is left to do
	Again    Outcome = "again"    // the reconciler asked to be called again
	Failed   Outcome = "failed"   // an error; it will be tried again
	Panicked Outcome = "panicked" // a panic; it will be tried again
	Canceled Outcome = "canceled" // the loop stops and the pass was cut short
)

// Options shape a loop. The zero value of each field means its default.
type Options struct {
	// Name is the loop's name in logs and metrics.
	Name string
	// Workers is how many keys may be in hand at once, 1 by default.
	Workers int
	// Log takes one line for every failed pass. By default nothing is logged.
	Log *slog.Logger
	// Backoff is the pause after failures.
	Backoff Backoff
	// Timeout bounds one call of the reconciler, DefaultTimeout by default.
	Timeout time.Duration
	// Grace is how long a key in hand may go on after the loop was told to
	// stop, DefaultGrace by default.
	Grace time.Duration
	// OnResult, if set, is told about every pass, for metrics. It is called by
	// several workers at once and must not block.
	OnResult func(name string, outcome Outcome, took time.Duration)
}

func (o Options) withDefaults() Options {
	o.Workers = cmp.Or(max(o.Workers, 0), 1)
	o.Timeout = cmp.Or(max(o.Timeout, 0), DefaultTimeout)
	o.Grace = cmp.Or(max(o.Grace, 0), DefaultGrace)
	o.Backoff = o.Backoff.withDefaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnResult == nil {
		o.OnResult = func(string, Outcome, time.Duration) {}
	}
	return o
}

// Loop calls a Reconciler for every key that was kicked. Make it with New.
type Loop[K comparable] struct {
	reconciler Reconciler[K]
	opts       Options
	order      *fifo[K]
	queue      *workqueue.Typed[K] // no goroutine of its own, so that it may live before Run
	failures   failures[K]
	started    atomic.Bool
}

// New returns a loop that hands kicked keys to r. Nothing runs before Run.
func New[K comparable](r Reconciler[K], o Options) *Loop[K] {
	order := &fifo[K]{}
	return &Loop[K]{
		reconciler: r,
		opts:       o.withDefaults(),
		order:      order,
		queue:      workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[K]{Queue: order}),
		failures:   failures[K]{of: map[K]failure{}},
	}
}

// Name returns Options.Name.
func (l *Loop[K]) Name() string { return l.opts.Name }

// Kick asks for a pass over key as soon as a worker is free. It never blocks.
// Kicks of a key that waits already merge with it; a kick of a key in hand leads
// to exactly one more pass; a key that waits out a pause is looked at now, and
// once more when the pause would have ended. Kicks before Run are kept, kicks after Run has ended do nothing.
func (l *Loop[K]) Kick(key K) { l.queue.Add(key) }

// Remind is Kick for what is no news: a key that waits out the pause after a failure is
// left to it. Who kicks everything that is dirty now and then uses it, so that a peer
// in trouble is not asked for everything at that pace.
func (l *Loop[K]) Remind(key K) {
	if !l.failures.wait(key, time.Now()) {
		l.Kick(key)
	}
}

// Len returns how many keys wait for a worker. Keys in hand and keys that wait
// out a pause do not count.
func (l *Loop[K]) Len() int { return l.queue.Len() }

// OldestAge returns how long the key at the head of the queue has waited for a
// worker, 0 when none waits. It takes no lock.
func (l *Loop[K]) OldestAge() time.Duration { return l.order.oldestAge() }

// Run works until ctx is done. Then no further key is begun, the keys in hand
// are given Options.Grace before their context ends, and Run returns nil once
// they have returned. A loop runs once: a second call returns an error.
func (l *Loop[K]) Run(ctx context.Context) error {
	if l.started.Swap(true) {
		return fmt.Errorf("run loop %s: it has been run before", l.opts.Name)
	}
	delayed := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[K]{Queue: l.queue})
	inHand, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()

	var workers sync.WaitGroup
	for range l.opts.Workers {
		workers.Go(func() {
			for l.next(ctx, inHand, delayed) {
			}
		})
	}
	<-ctx.Done()
	delayed.ShutDown()
	grace := time.AfterFunc(l.opts.Grace, cut)
	defer grace.Stop()
	workers.Wait()
	return nil
}

// next takes one key and brings it to its end. It reports false when the loop
// stops. What still waits then is dropped: it is dirty in durable state.
func (l *Loop[K]) next(stop, inHand context.Context, queue workqueue.TypedDelayingInterface[K]) bool {
	key, shutdown := queue.Get()
	if shutdown {
		return false
	}
	defer queue.Done(key)
	if stop.Err() != nil {
		return true // go on until Get reports the shutdown
	}

	start := time.Now()
	after, err := l.call(inHand, key)
	outcome := l.judge(stop, key, after, err)
	l.opts.OnResult(l.opts.Name, outcome, time.Since(start))
	switch outcome {
	case Again:
		queue.AddAfter(key, after)
	case Failed, Panicked:
		queue.AddAfter(key, l.pause(key, err))
	case Done, Canceled:
	}
	return true
}

// judge turns the result of a pass into its outcome and logs failures: this is
// the only place where an error of a reconciler is logged.
func (l *Loop[K]) judge(stop context.Context, key K, after time.Duration, err error) Outcome {
	if err == nil {
		l.failures.forget(key)
		if after > 0 {
			return Again
		}
		return Done
	}
	if panicked, ok := errors.AsType[*panicError](err); ok {
		l.opts.Log.ErrorContext(stop, "reconciler panicked", "loop", l.opts.Name, "key", key, "err", err, "stack", string(panicked.stack))
		return Panicked
	}
	if stop.Err() != nil && errors.Is(err, context.Canceled) {
		return Canceled
	}
	level := slog.LevelWarn
	if told, ok := errors.AsType[interface {
		error
		Told() bool
	}](err); ok && told.Told() {
		level = slog.LevelDebug
	}
	l.opts.Log.Log(stop, level, "reconcile failed", "loop", l.opts.Name, "key", key, "err", err)
	return Failed
}

// pause returns how long key waits after err.
func (l *Loop[K]) pause(key K, err error) time.Duration {
	type asker interface {
		error
		RetryAfter() time.Duration
	}
	var d time.Duration
	if told, ok := errors.AsType[asker](err); ok && told.RetryAfter() > 0 {
		d = told.RetryAfter()
	} else {
		d = l.opts.Backoff.pause(l.failures.add(key))
	}
	l.failures.until(key, time.Now().Add(d))
	return d
}

// call is one call of the reconciler, bounded in time, panics turned into errors.
func (l *Loop[K]) call(ctx context.Context, key K) (after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
		}
	}()
	return l.reconciler.Reconcile(ctx, key)
}

// panicError is a panic of a reconciler.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// Unwrap gives the error that the reconciler panicked with, if it was one.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}
