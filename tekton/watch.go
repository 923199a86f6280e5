package tekton

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"github.com/go-logr/logr"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"kovra.dev/chatops/internal/kovra"
)

// Watch tells when PipelineRuns of ours, or their TaskRuns, change: one shared informer for each of the two in every namespace. What it
// tells is a hint, and may come twice; what is true is read with [Client.Look]. It survives outages of the API server by itself: what changed
// meanwhile is told when it is back.
type Watch struct {
	c        *Client
	onChange func(kovra.RefKind, int64)
	more     chan struct{} // namespaces were added

	mu   sync.Mutex
	want []string // namespaces, in the order in which they came
}

// NewWatch makes a watch of the default namespace; [Watch.Run] starts it. onChange is called with kind RefBuild or RefDeployment and our
// id, from several goroutines, and must not block.
func NewWatch(c *Client, onChange func(kind kovra.RefKind, id int64)) *Watch {
	return &Watch{c: c, onChange: onChange, more: make(chan struct{}, 1), want: []string{c.o.Namespace}}
}

// Add watches further namespaces from now on; those that are watched already change nothing. It may be called before and during Run.
func (w *Watch) Add(namespaces ...string) {
	w.mu.Lock()
	for _, ns := range namespaces {
		if ns != "" && !slices.Contains(w.want, ns) {
			w.want = append(w.want, ns)
		}
	}
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// Run watches until ctx is done, and returns nil once everything it started has ended.
func (w *Watch) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(w.c.o.Log.Handler())) // what the informers have to say
	var running wait.Group
	defer running.Wait()
	started := 0
	for {
		w.mu.Lock()
		fresh := w.want[started:]
		started = len(w.want)
		w.mu.Unlock()
		for _, ns := range fresh {
			for _, informer := range w.informers(ns) {
				running.StartWithContext(ctx, informer.RunWithContext)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.more:
		}
	}
}

// selector is of the objects that are ours.
const selector = LabelManagedBy + "=" + ManagedBy

func (w *Watch) informers(ns string) []cache.SharedIndexInformer {
	runs, taskRuns := w.c.tekton.PipelineRuns(ns), w.c.tekton.TaskRuns(ns)
	return []cache.SharedIndexInformer{
		w.informer(ns, "pipelineruns", &v1.PipelineRun{}, &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				o.LabelSelector = selector
				return runs.List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				o.LabelSelector = selector
				return runs.Watch(ctx, o)
			},
		}),
		w.informer(ns, "taskruns", &v1.TaskRun{}, &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				o.LabelSelector = selector
				return taskRuns.List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				o.LabelSelector = selector
				return taskRuns.Watch(ctx, o)
			},
		}),
	}
}

func (w *Watch) informer(ns, resource string, example runtime.Object, lw *cache.ListWatch) cache.SharedIndexInformer {
	informer := cache.NewSharedIndexInformerWithOptions(lw, example, cache.SharedIndexInformerOptions{ObjectDescription: resource})
	log := w.c.o.Log.With("namespace", ns, "resource", resource)
	// unreachable: these three fail only after the informer was started
	_ = informer.SetTransform(lighten)
	_ = informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) { tellTrouble(ctx, log, err) })
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: w.tell,
		UpdateFunc: func(old, now any) {
			if version(old) != version(now) {
				w.tell(now)
			}
		},
		DeleteFunc: w.tell,
	})
	return informer
}

// tellTrouble logs why a watch does not come about. Its end alone is ordinary: the API server ends each after some minutes.
func tellTrouble(ctx context.Context, log *slog.Logger, err error) {
	if ctx.Err() == nil && !apierrors.IsResourceExpired(err) && !errors.Is(err, io.EOF) {
		log.WarnContext(ctx, "cannot watch the cluster", "err", err)
	}
}

// lighten keeps of an object what tells whose it is: the cache of an informer would hold whole runs.
func lighten(obj any) (any, error) {
	switch o := obj.(type) {
	case *v1.PipelineRun:
		return &v1.PipelineRun{ObjectMeta: light(o)}, nil
	case *v1.TaskRun:
		return &v1.TaskRun{ObjectMeta: light(o)}, nil
	default:
		return obj, nil
	}
}

func light(o metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(), Labels: o.GetLabels(),
	}
}

func version(obj any) string {
	if o, ok := obj.(metav1.Object); ok {
		return o.GetResourceVersion()
	}
	return ""
}

// tell passes on what an object belongs to. One that vanished while nobody watched comes wrapped.
func (w *Watch) tell(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	o, ok := obj.(metav1.Object)
	if !ok {
		return
	}
	if id := idOf(o, LabelBuild); id > 0 {
		w.onChange(kovra.RefBuild, id)
	}
	if id := idOf(o, LabelDeployment); id > 0 {
		w.onChange(kovra.RefDeployment, id)
	}
}

func idOf(o metav1.Object, label string) int64 {
	id, err := strconv.ParseInt(o.GetLabels()[label], 10, 64)
	if err != nil {
		return 0
	}
	return id
}
