package tektonsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	tekton "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"knative.dev/pkg/apis"
)

// request is what a request is about.
type request struct {
	verb     string
	table    *table
	ns, name string
	sub      string // subresource
}

func (q request) resource() string {
	if q.sub == "" {
		return q.table.name
	}
	return q.table.name + "/" + q.sub
}

func (q request) key() string { return q.ns + "/" + q.name }

// maxBody is the most that an object may have.
const maxBody = 3 << 20

// parse reads the path of a resource; false: it is none.
func (s *Server) parse(r *http.Request) (request, bool) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var group string
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = parts[1], parts[3:]
	default:
		return request{}, false
	}
	q := request{}
	if parts[0] == "namespaces" && len(parts) > 2 {
		q.ns, parts = parts[1], parts[2:]
	}
	q.table = s.table(group, parts[0])
	if q.table == nil || len(parts) > 3 {
		return request{}, false
	}
	if len(parts) > 1 {
		q.name = parts[1]
	}
	if len(parts) > 2 {
		q.sub = parts[2]
	}
	q.verb = verb(r, q.name)
	return q, true
}

func verb(r *http.Request, name string) string {
	switch {
	case r.Method == http.MethodGet && r.URL.Query().Get("watch") != "" && r.URL.Query().Get("watch") != "false":
		return "watch"
	case r.Method == http.MethodGet && name == "":
		return "list"
	case r.Method == http.MethodGet:
		return "get"
	case r.Method == http.MethodPost:
		return "create"
	case r.Method == http.MethodPut:
		return "update"
	default:
		return strings.ToLower(r.Method)
	}
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request, q request) {
	switch {
	case q.resource() == "pods/log" && q.verb == "get":
		s.serveLog(w, r, q)
		return
	case q.verb == "watch":
		s.serveWatch(w, r, q)
		return
	case q.sub != "":
		s.refuse(w, apierrors.NewGenericServerResponse(http.StatusNotFound, q.verb, q.table.gr(), q.name, "the server could not find the requested resource", 0, true))
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		s.refuse(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	code, result, err := s.act(r, q, body)
	if refused, ok := errors.AsType[*apierrors.StatusError](err); ok {
		s.refuse(w, refused)
		return
	}
	writeJSON(w, code, result)
}

// act does what was asked of one resource, in one piece.
func (s *Server) act(r *http.Request, q request, body []byte) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	there, found := q.table.items[q.key()]
	if !found && q.name != "" {
		return 0, nil, apierrors.NewNotFound(q.table.gr(), q.name)
	}
	switch q.verb {
	case "get":
		return http.StatusOK, there, nil
	case "list":
		list, err := s.list(r, q)
		return http.StatusOK, list, err
	case "create":
		made, err := s.create(r, q, body)
		return http.StatusCreated, made, err
	case "update", "patch":
		changed, err := s.change(r, q, there, body)
		return http.StatusOK, changed, err
	case "delete":
		s.drop(q, there)
		return http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess}, nil
	default:
		return 0, nil, apierrors.NewMethodNotSupported(q.table.gr(), q.verb)
	}
}

func (s *Server) list(r *http.Request, q request) (any, error) {
	match, err := matcher(r, q)
	if err != nil {
		return nil, err
	}
	items := slices.DeleteFunc(q.table.all(), func(o object) bool { return !match(o) })
	return map[string]any{
		"kind": q.table.kind + "List", "apiVersion": q.table.gv(),
		"metadata": metav1.ListMeta{ResourceVersion: fmt.Sprint(s.version)}, "items": items,
	}, nil
}

// matcher is by namespace, label and field.
func matcher(r *http.Request, q request) (func(object) bool, error) {
	byLabel, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	byField, err := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return func(o object) bool {
		return (q.ns == "" || o.GetNamespace() == q.ns) && byLabel.Matches(labels.Set(o.GetLabels())) && byField.Matches(fieldsOf(o))
	}, nil
}

func fieldsOf(o object) fields.Set {
	set := fields.Set{"metadata.name": o.GetName(), "metadata.namespace": o.GetNamespace()}
	if e, ok := o.(*corev1.Event); ok {
		set["involvedObject.name"], set["involvedObject.uid"] = e.InvolvedObject.Name, string(e.InvolvedObject.UID)
		set["type"], set["reason"] = e.Type, e.Reason
	}
	return set
}

func (s *Server) create(r *http.Request, q request, body []byte) (object, error) {
	made, err := decode(r, q, body)
	if err != nil {
		return nil, err
	}
	if q.table.namespaced() {
		made.SetNamespace(q.ns)
		if s.table("", "namespaces").items["/"+q.ns] == nil {
			return nil, apierrors.NewNotFound(s.table("", "namespaces").gr(), q.ns)
		}
	}
	if made.GetName() == "" && made.GetGenerateName() != "" {
		made.SetName(fmt.Sprintf("%s%05d", made.GetGenerateName(), s.version%100000))
	}
	if err := admit(r.Context(), nil, made); err != nil {
		return nil, err
	}
	if q.table.items[key(made)] != nil {
		return nil, apierrors.NewAlreadyExists(q.table.gr(), made.GetName())
	}
	stored := s.put(q.table, made)
	if pr, ok := stored.(*tekton.PipelineRun); ok {
		s.begin(pr)
	}
	return stored, nil
}

func decode(r *http.Request, q request, body []byte) (object, error) {
	o := q.table.fresh()
	dec := json.NewDecoder(strings.NewReader(string(body)))
	if r.URL.Query().Get("fieldValidation") == metav1.FieldValidationStrict {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(o); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: strict decoding error: %v", q.table.kind, q.table.version, q.table.kind, err))
	}
	return o, nil
}

// admit judges an object as Tekton's webhooks do.
func admit(ctx context.Context, old, o object) error {
	judged, ok := o.(interface {
		apis.Defaultable
		apis.Validatable
	})
	if !ok {
		return nil
	}
	if old != nil {
		ctx = apis.WithinUpdate(ctx, old)
	} else {
		ctx = apis.WithinCreate(ctx)
	}
	judged.SetDefaults(ctx)
	err := judged.Validate(ctx)
	if err == nil {
		return nil
	}
	return apierrors.NewBadRequest(`admission webhook "validation.webhook.pipeline.tekton.dev" denied the request: validation failed: ` + err.Error())
}

func (s *Server) change(r *http.Request, q request, there object, body []byte) (object, error) {
	changed, err := patched(r, q, there, body)
	if err != nil {
		return nil, err
	}
	if v := changed.GetResourceVersion(); v != "" && v != there.GetResourceVersion() {
		return nil, apierrors.NewConflict(q.table.gr(), q.name, errors.New("the object has been modified; please apply your changes to the latest version and try again"))
	}
	if err := admit(r.Context(), there, changed); err != nil {
		return nil, err
	}
	stored := s.put(q.table, changed)
	if pr, ok := stored.(*tekton.PipelineRun); ok {
		s.obey(pr)
	}
	return stored, nil
}

func patched(r *http.Request, q request, there object, body []byte) (object, error) {
	if q.verb == "update" {
		return decode(r, q, body)
	}
	old, err := json.Marshal(there)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	var now []byte
	if r.Header.Get("Content-Type") == "application/json-patch+json" {
		patch, bad := jsonpatch.DecodePatch(body)
		if bad != nil {
			return nil, apierrors.NewBadRequest(bad.Error())
		}
		now, err = patch.Apply(old)
	} else {
		now, err = jsonpatch.MergePatch(old, body)
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return decode(r, q, now)
}

// drop deletes an object and, as the garbage collector does, what belongs to it.
func (s *Server) drop(q request, there object) {
	s.remove(q.table, q.key())
	if pr, ok := there.(*tekton.PipelineRun); ok {
		s.abandon(pr)
	}
}
