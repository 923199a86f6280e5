package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	floodPipelines = 100
	floodJobs      = 32
	floodEvents    = 10_000
	floodWithin    = time.Minute
	floodSenders   = 32
	floodMemory    = 300 << 10 // kB at most

	largestBody = 25 << 20
	largeAtOnce = 20
	largeMemory = 1 << 20 // kB at most: what manifests/ lets the pod have
)

// TestFlood sends 10,000 events, which GitLab saved up, to the real program within a minute: all are answered with success, what they say
// is the state in the end, memory is bounded, and Slack is not asked for more than it allows.
func TestFlood(t *testing.T) {
	loadOnly(t)
	s := floodStory(t)
	jobs := []gitlabsim.JobSpec{}
	for i := range floodJobs {
		jobs = append(jobs, gitlabsim.JobSpec{Name: fmt.Sprintf("job %d", i), Stage: "test"})
	}
	s.lab.SetCI(web, []string{"test"}, jobs)
	s.lab.HoldHooks()
	for i := range floodPipelines {
		_, ref := s.lab.Push(web, "main", fmt.Sprintf("Change %d", i), "alice")
		for _, j := range s.lab.Jobs(web, ref.ID) {
			_ = s.lab.StartJob(j.ID)
			_ = s.lab.FinishJob(j.ID, "success", "", "")
		}
	}
	events := s.lab.Waiting()
	if len(events) < floodEvents {
		t.Fatalf("there are only %d events", len(events))
	}
	begun := time.Now()
	statuses := s.sendAtOnce(t, events)
	took := time.Since(begun)
	for status, n := range statuses {
		if status != http.StatusOK {
			t.Errorf("%d events were answered with %d", n, status)
		}
	}
	if took > floodWithin {
		t.Errorf("to take %d events took %v", len(events), took)
	}
	s.lab.ReleaseHooks(func([]gitlabsim.Delivery) []gitlabsim.Delivery { return nil })
	s.awaitRuns(t, floodPipelines)
	t.Logf("%d events taken in %v, folded after %v; %d MB at most", len(events), took.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond), s.peak(t)>>10)
	if peak := s.peak(t); peak > floodMemory {
		t.Errorf("it needed %d MB", peak>>10)
	}
	s.budgetsKept(t, begun)
}

func floodStory(t *testing.T) *story {
	t.Helper()
	s := openStory(t.Context(), t.TempDir(), buildProgram(t))
	t.Cleanup(s.close)
	w := &world{t: t, slack: s.slack, lab: s.lab}
	w.populate()
	if err := kovraStart(s, &scriptLine{args: []string{"KOVRA_ADMINS=" + alice, "KOVRA_LOG_LEVEL=info"}}); err != nil {
		t.Fatal(err)
	}
	w.say(alice, deploys, "/kovra link web group/web")
	return s
}

// sendAtOnce sends events over many connections, and counts the answers by status; 0: none.
func (s *story) sendAtOnce(t *testing.T, events []gitlabsim.Delivery) map[int]int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: floodSenders}}
	defer client.CloseIdleConnections()
	url := "http://" + s.address() + "/webhooks/gitlab"
	todo := make(chan gitlabsim.Delivery)
	statuses := &tally{count: map[string]int{}}
	var senders sync.WaitGroup
	for range floodSenders {
		senders.Go(func() {
			for d := range todo {
				statuses.add(strconv.Itoa(sendOne(t, client, url, d.Header, d.Body)), 1)
			}
		})
	}
	for _, d := range events {
		todo <- d
	}
	close(todo)
	senders.Wait()
	out := map[int]int{}
	for status, n := range statuses.count {
		code, _ := strconv.Atoi(status) // written above
		out[code] = n
	}
	return out
}

// sendOne sends a webhook and returns the status of its answer; 0 where there was none.
func sendOne(t *testing.T, client *http.Client, url string, h http.Header, body []byte) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header = h.Clone()
	r.Header.Set("X-Gitlab-Token", storySecret)
	resp, err := client.Do(r)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// awaitRuns waits until so many pipelines are known and all of them have ended well.
func (s *story) awaitRuns(t *testing.T, want int) {
	t.Helper()
	db, err := storage.Open(t.Context(), storage.Options{Path: filepath.Join(s.dir, "kovra.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	well, pending := 0, 0
	ok := s.until(func() bool {
		err := db.Read(t.Context(), func(tx *storage.Tx) error {
			runs, err := tx.Runs(storage.RunQuery{Project: web, Limit: 10 * want})
			if err != nil {
				return err
			}
			well = 0
			for _, r := range runs {
				if r.Status == kovra.Success {
					well++
				}
			}
			left, err := tx.PendingDeliveries(1)
			pending = len(left)
			return err
		})
		return err == nil && well == want && pending == 0
	})
	if !ok {
		t.Fatalf("%d of %d pipelines are known to have ended well; events wait: %v", well, want, pending > 0)
	}
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is the most memory that the program ever held, in kB.
func (s *story) peak(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.running().cmd.Process.Pid))
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	m := highWater.FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmHWM in %s", text)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb
}

// budgetsKept checks the calls to Slack minute by minute.
func (s *story) budgetsKept(t *testing.T, since time.Time) {
	t.Helper()
	count := map[string]int{}
	for _, c := range s.slack.Calls() {
		minute := int(c.Time.Sub(since) / time.Minute)
		key := fmt.Sprintf("%s in minute %d", c.Method, minute)
		limit, limited := minuteLimits[c.Method]
		if c.Method == "chat.postMessage" {
			key, limit, limited = key+" in "+c.Channel, postsAMinute+4, true // with a burst
		}
		if count[key]++; limited && count[key] == limit+1 {
			t.Errorf("more than %d times: %s", limit, key)
		}
	}
}

// TestLargeBodies sends twenty webhooks of the largest size at once, and one that is a byte larger.
func TestLargeBodies(t *testing.T) {
	loadOnly(t)
	s := floodStory(t)
	const head, tail = `{"object_kind":"push","project_id":7,"ref":"refs/heads/main","padding":"`, `"}`
	body := []byte(head + strings.Repeat("x", largestBody-len(head)-len(tail)) + tail)
	var events []gitlabsim.Delivery
	for i := range largeAtOnce {
		events = append(events, gitlabsim.Delivery{Header: http.Header{"X-Gitlab-Event": {"Push Hook"}, "Idempotency-Key": {strconv.Itoa(i)}}, Body: body})
	}
	begun := time.Now()
	if got := s.sendAtOnce(t, events); got[http.StatusOK] != largeAtOnce {
		t.Errorf("answers by status: %v", got)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	if code := sendOne(t, client, "http://"+s.address()+"/webhooks/gitlab", events[0].Header, append(body, '\n')); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a byte more is answered with %d", code)
	}
	s.awaitRuns(t, 0)
	t.Logf("%d times 25 MiB taken and folded in %v; %d MB at most", largeAtOnce, time.Since(begun).Round(time.Millisecond), s.peak(t)>>10)
	if peak := s.peak(t); peak > largeMemory {
		t.Errorf("it needed %d MB", peak>>10)
	}
}
