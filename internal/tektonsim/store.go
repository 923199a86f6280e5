package tektonsim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	tekton "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// object is one stored object. Stored objects never change; each change stores a new one.
type object interface {
	metav1.Object
	runtime.Object
}

// table holds the objects of one resource.
type table struct {
	group, version, name, kind string
	fresh                      func() object
	items                      map[string]object // by namespace/name
	events                     []event
	forgotten                  int64 // watches from before this version are refused
}

// event is one change, for watches.
type event struct {
	version int64
	kind    watch.EventType
	object  object
	before  object // nil when it was created
}

func newTables(noTekton bool) []*table {
	all := []*table{
		newTable("", "namespaces", "Namespace", func() object { return &corev1.Namespace{} }),
		newTable("", "pods", "Pod", func() object { return &corev1.Pod{} }),
		newTable("", "configmaps", "ConfigMap", func() object { return &corev1.ConfigMap{} }),
		newTable("", "events", "Event", func() object { return &corev1.Event{} }),
		newTable("apps", "deployments", "Deployment", func() object { return &appsv1.Deployment{} }),
	}
	if noTekton {
		return all
	}
	return append(all,
		newTable("tekton.dev", "pipelineruns", "PipelineRun", func() object { return &tekton.PipelineRun{} }),
		newTable("tekton.dev", "taskruns", "TaskRun", func() object { return &tekton.TaskRun{} }),
		newTable("tekton.dev", "pipelines", "Pipeline", func() object { return &tekton.Pipeline{} }),
		newTable("tekton.dev", "tasks", "Task", func() object { return &tekton.Task{} }),
	)
}

func newTable(group, name, kind string, fresh func() object) *table {
	return &table{group: group, version: "v1", name: name, kind: kind, fresh: fresh, items: map[string]object{}}
}

func (t *table) gr() schema.GroupResource {
	return schema.GroupResource{Group: t.group, Resource: t.name}
}

func (t *table) gv() string { return schema.GroupVersion{Group: t.group, Version: t.version}.String() }

func (t *table) namespaced() bool { return t.name != "namespaces" }

// table finds a resource; nil when it is not served.
func (s *Server) table(group, name string) *table {
	for _, t := range s.tables {
		if t.group == group && t.name == name {
			return t
		}
	}
	return nil
}

func key(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

// put stores an object, new or changed, and tells watches.
func (s *Server) put(t *table, o object) object {
	o, _ = o.DeepCopyObject().(object)
	before := t.items[key(o)]
	kind := watch.Modified
	if before == nil {
		kind = watch.Added
		s.uids++
		o.SetUID(types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", s.uids, s.uids)))
		o.SetCreationTimestamp(metav1.NewTime(s.o.Now().Truncate(1e9)))
	}
	s.version++
	o.SetResourceVersion(strconv.FormatInt(s.version, 10))
	o.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Group: t.group, Version: t.version, Kind: t.kind})
	t.items[key(o)] = o
	t.events = append(t.events, event{s.version, kind, o, before})
	s.wake()
	return o
}

// remove deletes an object and tells watches.
func (s *Server) remove(t *table, name string) {
	before := t.items[name]
	if before == nil {
		return
	}
	last, _ := before.DeepCopyObject().(object)
	s.version++
	last.SetResourceVersion(strconv.FormatInt(s.version, 10))
	delete(t.items, name)
	t.events = append(t.events, event{s.version, watch.Deleted, last, before})
	s.wake()
}

// Forget makes the cluster forget what changed so far, as etcd does after some minutes: a watch that would go on from before is answered
// with 410 Gone and has to list anew. Open watches are dropped.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		t.events, t.forgotten = nil, s.version
	}
	s.version++
	s.epoch++
	s.wake()
}

// all are the objects of a table in order.
func (t *table) all() []object {
	keys := slices.SortedFunc(maps.Keys(t.items), cmp.Compare)
	list := make([]object, 0, len(keys))
	for _, k := range keys {
		list = append(list, t.items[k])
	}
	return list
}

// get finds a copy of an object that may be changed and put back; nil when there is none.
func get[T object](s *Server, group, resource, name string) T {
	var none T
	t := s.table(group, resource)
	if t == nil {
		return none
	}
	found, ok := t.items[name]
	if !ok {
		return none
	}
	own, _ := found.DeepCopyObject().(T)
	return own
}
