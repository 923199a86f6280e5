package tekton

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kovra.dev/chatops/internal/kovra"
)

// call describes a request for those who read its error.
type call struct {
	verb     string // create
	resource string // pipelineruns
	noun     string // PipelineRun
	ns, name string
}

// longestMessage is how much of the cluster's own words we repeat, in runes.
const longestMessage = 400

// judge turns an error of a client into one of ours; nil stays nil.
func (what call) judge(err error) error {
	if err == nil {
		return nil
	}
	e := &kovra.Error{
		Kind: kovra.Unavailable, Public: "The cluster could not be reached.",
		Err: fmt.Errorf("%s %s %s/%s: %w", what.verb, what.resource, what.ns, what.name, err),
	}
	status, answered := errors.AsType[*apierrors.StatusError](err)
	if !answered {
		if errors.Is(err, context.DeadlineExceeded) {
			e.Public = "The cluster did not answer in time."
		}
		return e
	}
	s := status.Status()
	e.Kind, e.Public = what.answered(err, s)
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		e.Retry = time.Duration(seconds) * time.Second
	}
	if e.Kind == kovra.Denied && s.Code == http.StatusUnauthorized {
		e.Err = fmt.Errorf("%w: %w", kovra.ErrToken, e.Err)
	}
	return e
}

// answered says what kind of refusal an answer is, and tells it to people.
func (what call) answered(err error, s metav1.Status) (kovra.ErrorKind, string) {
	switch {
	case s.Code == http.StatusUnauthorized:
		return kovra.Denied, "The cluster does not accept the bot's credentials."
	case s.Code == http.StatusForbidden && strings.Contains(s.Message, "exceeded quota"):
		return kovra.Unavailable, sentence("The quota of namespace " + what.ns + " is used up: " + readable(s.Message))
	case s.Code == http.StatusForbidden && strings.Contains(s.Message, "being terminated"):
		return kovra.Invalid, "The namespace " + what.ns + " is being deleted."
	case s.Code == http.StatusForbidden:
		return kovra.Denied, fmt.Sprintf("The bot may not %s %s in namespace %s; an administrator binds its role there.", what.verb, what.resource, what.ns)
	case s.Code == http.StatusNotFound:
		return what.missing(s)
	case s.Code == http.StatusTooManyRequests:
		return kovra.Unavailable, "The cluster limits how often it may be asked."
	case strings.Contains(s.Message, "failed calling webhook"):
		return kovra.Unavailable, "Tekton's admission webhook does not answer."
	case s.Code >= http.StatusInternalServerError || apierrors.IsTimeout(err):
		return kovra.Unavailable, fmt.Sprintf("The cluster is in trouble (%d %s).", s.Code, http.StatusText(int(s.Code)))
	case s.Code == http.StatusConflict && what.verb == "create": // of a quota that changed meanwhile; a name that is there is no error
		return kovra.Unavailable, "The cluster was changed meanwhile; trying again."
	case s.Code == http.StatusConflict:
		return kovra.Conflict, sentence("The cluster cannot " + what.verb + " the " + what.noun + " now: " + readable(s.Message))
	default:
		return kovra.Invalid, sentence("The cluster refuses to " + what.verb + " the " + what.noun + ": " + readable(s.Message))
	}
}

// missing tells what it is that is not there. A resource that the API server does not serve at all has no name in its answer.
func (what call) missing(s metav1.Status) (kovra.ErrorKind, string) {
	switch {
	case unserved(s) && what.resource == "deployments":
		return kovra.Unavailable, "The address of the cluster is not that of a Kubernetes API."
	case unserved(s):
		return kovra.Invalid, "Tekton Pipelines is not installed in the cluster (it serves no " + what.resource + " of tekton.dev/v1)."
	case s.Details.Kind == "namespaces":
		return kovra.Invalid, "There is no namespace " + s.Details.Name + " in the cluster."
	default:
		return kovra.NotFound, fmt.Sprintf("There is no %s %s in namespace %s.", what.noun, what.name, what.ns)
	}
}

// unserved reports whether an answer 404 is about the path and not about an object.
func unserved(s metav1.Status) bool {
	return s.Details == nil || s.Details.Name == "" || strings.Contains(s.Message, "could not find the requested resource")
}

// admissionPrefix begins what Tekton's webhook refuses.
const admissionPrefix = "denied the request: "

// readable is the cluster's own words on one line, without what only Tekton's developers need.
func readable(s string) string {
	if _, after, ok := strings.Cut(s, admissionPrefix); ok {
		s = after
	}
	s = strings.TrimPrefix(strings.TrimSpace(s), "[User error] ")
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if runes := []rune(s); len(runes) > longestMessage {
		s = string(runes[:longestMessage]) + "…"
	}
	return s
}

// sentence ends a text with a full stop, and begins it with a capital letter.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	if c := s[0]; c >= 'a' && c <= 'z' {
		s = string(c-'a'+'A') + s[1:]
	}
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "…") || strings.HasSuffix(s, "!") {
		return s
	}
	return s + "."
}
