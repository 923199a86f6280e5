package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Targets of M5: an idle server.
const (
	readyWithin = time.Second
	anonLimit   = 40 << 10  // kB of RssAnon
	rssLimit    = 100 << 10 // kB of VmRSS
	idleFor     = 2 * time.Second
)

// BenchmarkIdle starts the real program and measures how soon it is ready and how much
// memory it needs while nothing happens, also as parts of their targets (M5).
func BenchmarkIdle(b *testing.B) {
	program := filepath.Join(b.TempDir(), "kovra")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "../../cmd/kovra").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	var ready time.Duration
	var anon, rss int
	for b.Loop() {
		took, a, r := idle(b, program)
		ready, anon, rss = max(ready, took), max(anon, a), max(rss, r)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(ready.Milliseconds()), "ready-ms")
	b.ReportMetric(ready.Seconds()/readyWithin.Seconds(), "ready/target")
	b.ReportMetric(float64(anon)/1024, "RssAnon-MB")
	b.ReportMetric(float64(anon)/anonLimit, "RssAnon/target")
	b.ReportMetric(float64(rss)/1024, "VmRSS-MB")
	b.ReportMetric(float64(rss)/rssLimit, "VmRSS/target")
}

func idle(b *testing.B, program string) (ready time.Duration, anon, rss int) {
	b.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	cmd := exec.CommandContext(b.Context(), program, "serve")
	var logged bytes.Buffer
	cmd.Stderr = &logged
	cmd.Env = []string{
		"KOVRA_LISTEN=" + address, "KOVRA_DATABASE_URL=sqlite:" + filepath.Join(b.TempDir(), "kovra.db"),
		"KOVRA_SLACK_BOT_TOKEN=xoxb-bench", "KOVRA_SLACK_SIGNING_SECRET=bench", "KOVRA_GITLAB_TOKEN=bench",
		"KOVRA_GITLAB_WEBHOOK_SECRET=bench", "KOVRA_ADMINS=U1",
		"KOVRA_GITLAB_URL=http://127.0.0.1:1", "KOVRA_SLACK_API_URL=http://127.0.0.1:1/api/",
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			b.Errorf("the program did not end well: %v\n%s", err, logged.String())
		}
	}()
	for !answers(b, "http://"+address+"/readyz") {
		if time.Since(start) > 20*time.Second {
			b.Fatalf("never ready\n%s", logged.String())
		}
		<-time.After(2 * time.Millisecond)
	}
	ready = time.Since(start)
	<-time.After(idleFor)
	return ready, status(b, cmd.Process.Pid, "RssAnon"), status(b, cmd.Process.Pid, "VmRSS")
}

func answers(b *testing.B, url string) bool {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// status reads a line of /proc/PID/status, in kB.
func status(b *testing.B, pid int, name string) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skipf("no /proc here: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("/proc/%d/status has no %s", pid, name)
	return 0
}
