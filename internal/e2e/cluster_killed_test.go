package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kovra.dev/chatops/internal/clustertest"
)

// slowDockerfile writes 20 lines a second, in several seconds.
const slowDockerfile = `FROM BASE
RUN echo build %d; i=0; while [ $i -lt %d ]; do echo "line-$i-"; i=$((i+1)); [ $((i %% 20)) != 0 ] || sleep 1; done
`

// TestClusterBotKilled kills the program at ten random moments of builds, and stops the API server for half a minute: there is one PipelineRun
// for each build, the log is whole, and no message comes twice.
func TestClusterBotKilled(t *testing.T) {
	bed := clustertest.Open(t)
	s := openShop(t, bed, buildProgram(t), "buildkit")
	const lines = 400
	for build := 1; build <= 2; build++ {
		s.push("One more", map[string]string{"Dockerfile": fmt.Sprintf(slowDockerfile, build, lines)}) // nothing of it comes from the cache
		s.slash("bob", "/build trigger web")
		for kill := range 5 {
			time.Sleep(time.Duration(rand.IntN(6000)) * time.Millisecond)
			if err := kovraCrash(s.story, nil); err != nil {
				t.Fatal(err)
			}
			if build == 2 && kill == 2 {
				s.stopAPI(30 * time.Second)
			}
			s.start()
		}
		s.wait(build, "Succeeded", "✅ Succeeded")
	}
	if runs := s.runs("kovra-build"); len(runs) != 2 {
		t.Errorf("two builds made the runs %v", runs)
	}
	for build := 1; build <= 2; build++ {
		log := s.rawLog(build, fmt.Sprintf("line-%d-\n", lines-1))
		for i := range lines {
			if n := strings.Count(log, fmt.Sprintf("line-%d-\n", i)); n != 1 {
				t.Fatalf("build %d: line %d is %d times in the log:\n%s", build, i, n, log)
			}
		}
		if thread := s.thread(build); strings.Count(thread, "✅ Succeeded") != 1 {
			t.Errorf("the thread of build %d:\n%s", build, thread)
		}
	}
	if picture := s.picture("#deploys"); strings.Count(picture, "build #1\n")+strings.Count(picture, "build #2\n") != 2 {
		t.Errorf("a card is there twice:\n%s", picture)
	}
}

// stopAPI stops the API server of our network namespace for a while: the process stands still, and nobody is answered.
func (s *shop) stopAPI(for_ time.Duration) {
	s.t.Helper()
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range all {
		line, _ := os.ReadFile(path) // it may have ended
		ns, _ := os.Readlink(filepath.Join(filepath.Dir(path), "ns/net"))
		if ns != ours || !bytes.Contains(line, []byte("kube-apiserver\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGSTOP)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }() // also where something fails
		s.start()
		time.Sleep(for_)
		if err := kovraCrash(s.story, nil); err != nil {
			s.t.Error(err)
		}
		return
	}
	s.t.Fatal("no API server in our network namespace")
}
