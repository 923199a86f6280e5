package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// update rewrites the pictures in the stories: go test ./internal/e2e -run Stories -update.
var update = flag.Bool("update", false, "rewrite the pictures that stories compare with")

// storiesAtOnce is how many stories are played side by side. They mostly wait.
const storiesAtOnce = 6

const storyDir = "testdata/story"

// TestStories plays every story of testdata/story against the real program, which
// talks HTTP with a simulated Slack and a simulated GitLab of its own.
func TestStories(t *testing.T) {
	program := buildProgram(t)
	turns := &sideBySide{T: t, tokens: make(chan struct{}, storiesAtOnce)}
	testscript.RunT(turns, testscript.Params{
		Dir:                 storyDir,
		Setup:               func(e *testscript.Env) error { return newStory(t.Context(), e, program) },
		Cmds:                storyCommands(),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
	})
	turns.all.Wait()
}

// buildProgram builds the program as it is released.
func buildProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kovra")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "kovra.dev/chatops/cmd/kovra").CombinedOutput()
	if err != nil {
		t.Fatalf("build kovra: %v\n%s", err, out)
	}
	return path
}

// sideBySide runs scripts at the same time, more of them than there are processors.
type sideBySide struct {
	*testing.T
	tokens chan struct{}
	all    sync.WaitGroup
}

// Run implements testscript.T.
func (s *sideBySide) Run(name string, script func(testscript.T)) {
	s.all.Go(func() {
		s.tokens <- struct{}{}
		defer func() { <-s.tokens }()
		s.T.Run(name, func(t *testing.T) { script(&oneScript{t}) })
	})
}

// Parallel implements testscript.T; a script already runs beside others.
func (s *sideBySide) Parallel() {}

// Verbose implements testscript.T.
func (s *sideBySide) Verbose() bool { return testing.Verbose() }

// oneScript is the test of one script.
type oneScript struct{ *testing.T }

// Run implements testscript.T.
func (s *oneScript) Run(name string, script func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { script(&oneScript{t}) })
}

// Parallel implements testscript.T.
func (s *oneScript) Parallel() {}

// Verbose implements testscript.T.
func (s *oneScript) Verbose() bool { return testing.Verbose() }

// features are those that the stories must tell of, by their ids in the product's contract.
// "5" is the table of bad input.
var features = []string{
	"A1", "A2", "A3", "A5", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "L1", "L2", "L3", "L4", "L5", "L6",
	"A4", "P10", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "I1", "I2", "I3", "O1", "O3", "O4", "O6", "O7", "5",
}

// TestEveryFeatureHasAStory reads the first line of each story, which names the
// features that it is about: "# Features: P3 P8".
func TestEveryFeatureHasAStory(t *testing.T) {
	stories, err := filepath.Glob(filepath.Join(storyDir, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string][]string{}
	line := regexp.MustCompile(`^# Features:((?: [A-Z]?\d+)+)$`)
	for _, path := range stories {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := bytes.Cut(text, []byte("\n"))
		m := line.FindSubmatch(first)
		if m == nil {
			t.Errorf("%s: the first line must be like \"# Features: P3 P8\", it is %q", path, first)
			continue
		}
		for id := range strings.FieldsSeq(string(m[1])) {
			if !slices.Contains(features, id) {
				t.Errorf("%s names %s, which is no feature", path, id)
			}
			told[id] = append(told[id], filepath.Base(path))
		}
	}
	for _, id := range features {
		if len(told[id]) == 0 {
			t.Errorf("no story tells of %s", id)
		}
	}
	if t.Failed() {
		t.Log(fmt.Sprint(told))
	}
}
