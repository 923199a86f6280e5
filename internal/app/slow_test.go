package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lazyClient sends the beginning of a request, and then a byte every five seconds, as long as it is let.
func lazyClient(t *testing.T, ln *pipes, begin string) (cut <-chan time.Duration) {
	t.Helper()
	client, server := net.Pipe()
	ln.conns <- server
	begun, ended := time.Now(), make(chan time.Duration, 1)
	go func() { _, _ = io.Copy(io.Discard, client) }() // an answer does not end it
	go func() {
		defer client.Close()
		_, err := io.WriteString(client, begin)
		for err == nil {
			<-time.After(5 * time.Second)
			_, err = io.WriteString(client, "x")
		}
		ended <- time.Since(begun)
	}()
	return ended
}

// Clients that send their headers or bodies drop by drop are cut off in time, and however many there are, the
// requests of others are answered at once.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := built(t, newOutside().options())
		ln := newPipes()
		ctx, stop := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- a.Run(ctx, ln) }()
		begin := func(path string, size int) string {
			return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: kovra.sim\r\nX-Gitlab-Token: %s\r\nContent-Length: %d\r\n\r\n{", path, "hook-secret", size)
		}
		lazy := map[string]struct {
			begin string
			most  time.Duration
		}{
			"headers":        {"GET /healthz HTTP/1.1\r\nHost: kovra.sim\r\nX-Slow: ", headerTimeout},
			"a webhook":      {begin("/webhooks/gitlab", 1000), readTimeout},
			"a large one":    {begin("/webhooks/gitlab", 2<<20), readTimeout},
			"a command":      {begin("/slack/commands", 1000), readTimeout},
			"a click":        {begin("/slack/interactions", 1000), readTimeout},
			"an event":       {begin("/slack/events", 1000), readTimeout},
			"without a size": {strings.Replace(begin("/webhooks/gitlab", 1000), "Content-Length: 1000", "Transfer-Encoding: chunked", 1), readTimeout},
		}
		cuts := map[string][]<-chan time.Duration{}
		for range 50 {
			for name, c := range lazy {
				cuts[name] = append(cuts[name], lazyClient(t, ln, c.begin))
			}
		}
		synctest.Wait()
		for range 20 {
			asked := time.Now()
			if text, err := ln.ask(t.Context(), "/healthz"); err != nil || text != "ok\n" {
				t.Errorf("beside slow clients: %q (%v)", text, err)
			}
			if took := time.Since(asked); took > 100*time.Millisecond {
				t.Errorf("beside slow clients an answer took %v", took)
			}
			<-time.After(time.Second)
		}
		for name, c := range lazy {
			for _, cut := range cuts[name] {
				if took := <-cut; took > c.most+10*time.Second {
					t.Errorf("%s: cut off after %v, want within %v", name, took, c.most)
				}
			}
		}
		stop()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}
