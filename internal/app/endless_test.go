package app

import (
	"context"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowAndEndlessRequests: nobody holds a connection by saying little, or too much.
func TestSlowAndEndlessRequests(t *testing.T) {
	const post = "POST /webhooks/gitlab HTTP/1.1\r\nHost: kovra.sim\r\nX-Gitlab-Token: hook-secret\r\n"
	for _, tt := range []struct {
		name, first, then string // then is said once a second
		within            time.Duration
		answer            string
	}{
		{"headers that do not end", "GET /healthz HTTP/1.1\r\nHost: kovra.sim\r\n", "X-A: b\r\n", headerTimeout + 2*time.Second, ""},
		{"a body that does not come", post + "Content-Length: 1000\r\n\r\n{", "", readTimeout + 2*time.Second, "400"},
		{"a body that trickles", post + "Content-Length: 1000\r\n\r\n{", " ", readTimeout + 2*time.Second, "400"},
		{"a body without a length that trickles", post + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", readTimeout + 2*time.Second, "400"},
		{"headers of two megabytes", "GET /healthz HTTP/1.1\r\nHost: kovra.sim\r\nX-A: " + strings.Repeat("b", 2<<20) + "\r\n\r\n", "", 2 * time.Second, "431"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := built(t, newOutside().options())
				ctx, stop := context.WithCancel(t.Context())
				ln := newPipes()
				ended := make(chan error, 1)
				go func() { ended <- a.Run(ctx, ln) }()
				client, server := net.Pipe()
				ln.conns <- server
				begun := time.Now()
				said := make(chan struct{})
				go func() { // ends when the connection is closed
					defer close(said)
					_, err := io.WriteString(client, tt.first)
					for err == nil && tt.then != "" {
						time.Sleep(time.Second)
						_, err = io.WriteString(client, tt.then)
					}
				}()
				heard, _ := io.ReadAll(client)
				if took := time.Since(begun); took > tt.within || !strings.Contains(string(heard), tt.answer) {
					t.Errorf("after %s it said %.60q, want %q within %s", took, heard, tt.answer, tt.within)
				}
				_ = client.Close()
				<-said
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestMetricsTellNoSecretsAndNoNames: whoever reaches the port reads them.
func TestMetricsTellNoSecretsAndNoNames(t *testing.T) {
	a := built(t, newOutside().options())
	const name = "name-of-somebodys"
	for _, header := range []string{"X-Gitlab-Event", "X-Gitlab-Token"} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/webhooks/gitlab?"+name, strings.NewReader(`{"object_kind":"`+name+`"}`))
		r.Header.Set("X-Gitlab-Token", "hook-secret")
		r.Header.Set(header, name)
		a.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, path := range []string{"/logs/" + name, "/" + name, "/viewer/" + name} {
		get(t, a, path)
	}
	_, body := get(t, a, "/metrics")
	for _, secret := range []string{name, "xoxb-sim", "glpat-sim", "hook-secret", "sim-secret"} {
		if strings.Contains(body, secret) {
			t.Errorf("the metrics tell %q", secret)
		}
	}
}
