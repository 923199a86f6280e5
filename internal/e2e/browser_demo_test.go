package e2e

import (
	"bufio"
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// How long the demo may take to begin, where several do at once, and to end.
const (
	demoBegins = time.Minute
	demoEnds   = 15 * time.Second
)

// buildDemo builds the demo as people run it.
func buildDemo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kovra-demo")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "kovra.dev/chatops/cmd/kovra-demo").CombinedOutput()
	if err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	return path
}

// startDemo runs the demo and gives the address that it prints. At the end of the test it
// is asked to stop, and must end well and soon, with no error in its log.
func startDemo(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, program, append([]string{"-listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(cmd.Environ(), "TMPDIR="+t.TempDir())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		kill()
		t.Fatalf("start the demo: %v", err)
	}
	t.Cleanup(func() {
		defer kill()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("ask the demo to stop: %v", err)
		}
		late := time.AfterFunc(demoEnds, kill)
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended badly: %v", err)
		}
		if strings.Contains(errs.String(), "level=") {
			t.Errorf("the demo's log:\n%s", errs.String())
		}
	})
	late := time.AfterFunc(demoBegins, kill)
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the demo printed no address: %v", err)
	}
	return strings.TrimSpace(line)
}
