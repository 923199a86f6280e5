package gitlabsim_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"kovra.dev/chatops/internal/gitlabsim"
)

const createEndpoint = "POST /projects/:id/pipeline"

func create(w *world) error {
	_, _, err := w.as("dev").Pipelines.CreatePipeline(w.web.ID, &gitlab.CreatePipelineOptions{Ref: new("main")})
	return err
}

func TestRateLimitCarriesRetryAfterAndFiresOnce(t *testing.T) {
	w := newWorld(t)
	w.s.Fault(gitlabsim.RateLimit(createEndpoint, 1500*time.Millisecond))
	err := create(w)
	wantRefusal(t, err, 429, "")
	if refused, ok := errors.AsType[*gitlab.ErrorResponse](err); ok {
		h := refused.Response.Header
		if h.Get("Retry-After") != "2" || h.Get("RateLimit-Remaining") != "0" || h.Get("RateLimit-Reset") == "" {
			t.Errorf("headers %v", h)
		}
	}
	must(t, create(w))
	if n := len(w.s.Pipelines(w.web.ID)); n != 1 {
		t.Errorf("%d pipelines, want 1", n)
	}
	if n := w.s.FaultCounts()["rate_limit "+createEndpoint]; n != 1 {
		t.Errorf("fired %d times", n)
	}
}

func TestStatusFaultsDoNothing(t *testing.T) {
	w := newWorld(t)
	w.s.Fault(gitlabsim.Status(createEndpoint, 500).Times(2), gitlabsim.Status("GET /user*", 403))
	for range 2 {
		wantRefusal(t, create(w), 500, "")
	}
	must(t, create(w))
	_, _, err := w.as("dev").Users.CurrentUser()
	wantRefusal(t, err, 403, "403 Forbidden")
	if n := len(w.s.Pipelines(w.web.ID)); n != 1 {
		t.Errorf("%d pipelines, want 1", n)
	}
}

func TestALostReplyAndABadGatewayComeAfterTheDeed(t *testing.T) {
	w := newWorld(t)
	w.s.Fault(gitlabsim.LoseReply(createEndpoint), gitlabsim.BadGatewayAfter(createEndpoint))
	if err := create(w); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("lost reply: %v", err)
	}
	wantRefusal(t, create(w), 502, "")
	if n := len(w.s.Pipelines(w.web.ID)); n != 2 {
		t.Errorf("%d pipelines, want 2", n)
	}
	calls := w.s.Calls()
	if calls[0].Status != 0 || calls[1].Status != 502 || calls[0].User != "dev" || !strings.Contains(calls[0].Body, "main") {
		t.Errorf("calls %+v", calls)
	}
}

func TestALostReplyCutsARealConnection(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.s)
	defer server.Close()
	w.s.Fault(gitlabsim.LoseReply("GET /version"))
	req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/api/v4/version", nil)
	must(t, err)
	req.Header.Set("PRIVATE-TOKEN", "glpat-sim")
	if resp, err := server.Client().Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("got %d, want a cut connection", resp.StatusCode)
	}
	if n := w.s.CallCount("GET /version"); n == 0 {
		t.Error("the request did not arrive")
	}
}

func TestDelayEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.s.Fault(gitlabsim.Delay(createEndpoint, time.Minute).Times(2))
		begin := time.Now()
		must(t, create(w))
		if got := time.Since(begin); got != time.Minute {
			t.Errorf("took %v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := w.as("dev").Pipelines.CreatePipeline(w.web.ID, &gitlab.CreatePipelineOptions{Ref: new("main")}, gitlab.WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestChanceIsSeeded(t *testing.T) {
	run := func() (failures int) {
		w := newWorld(t)
		w.s.Fault(gitlabsim.Status("*", 503).Chance(0.3, rand.New(rand.NewPCG(1, 2))))
		for range 50 {
			if create(w) != nil {
				failures++
			}
		}
		w.s.ClearFaults()
		must(t, create(w))
		if got := w.s.FaultCounts()["status *"]; got != failures {
			t.Errorf("counted %d of %d", got, failures)
		}
		return failures
	}
	first := run()
	if second := run(); first != second || first == 0 || first == 50 {
		t.Errorf("%d and %d failures of 50", first, second)
	}
}
