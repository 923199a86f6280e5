package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// smallDisk mounts a disk of the given size, in memory, over a new folder; only root may.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk cannot be mounted (run as root, in Linux): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill writes a file until there is no space left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4<<10); ; {
		_, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// diskStory is a story on a small disk, with a linked project.
func diskStory(t *testing.T, dir string) *story {
	t.Helper()
	s := openStory(t.Context(), dir, buildProgram(t))
	t.Cleanup(s.close)
	w := &world{t: t, slack: s.slack, lab: s.lab}
	w.populate()
	if err := kovraStart(s, &scriptLine{args: []string{"KOVRA_ADMINS=" + alice}}); err != nil {
		t.Fatal(err)
	}
	w.say(alice, deploys, "/kovra link web group/web")
	return s
}

// shows waits until a channel shows a text.
func (s *story) shows(t *testing.T, channel, text string) {
	t.Helper()
	ok := s.until(func() bool {
		for _, m := range s.slack.Messages(channel) {
			if strings.Contains(s.slack.Thread(channel, m.TS), text) {
				return true
			}
		}
		return false
	})
	if !ok {
		t.Fatalf("%s never showed %q", channel, text)
	}
}

func (s *story) readiness(t *testing.T) int {
	t.Helper()
	code, err := s.send(t.Context(), http.MethodGet, "http://"+s.address()+"/readyz", nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// TestDiskFull fills the disk under the running program. Nothing is acknowledged that was not written down, people are told,
// the log says it once, and once there is space again everything goes on.
func TestDiskFull(t *testing.T) {
	loadOnly(t)
	dir := smallDisk(t, "8m")
	s := diskStory(t, dir)
	_, ref := s.lab.Push(web, "main", "One", "alice")
	s.shows(t, deploys, "One")
	if err := kovraSettle(s, nil); err != nil {
		t.Fatal(err)
	}

	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	acknowledged := map[string]bool{}
	full := s.until(func() bool { // some fit into space that the database has already
		refused := false
		for n := range 20 {
			key := fmt.Sprintf("push-%d-%d", len(acknowledged), n)
			code := s.hook(t, key, 14<<10)
			acknowledged[key] = code == http.StatusOK
			refused = code == http.StatusServiceUnavailable
		}
		return refused && s.readiness(t) == http.StatusServiceUnavailable
	})
	if !full {
		t.Fatal("the disk is full, but webhooks are taken, or it says that it is ready")
	}
	var metrics strings.Builder
	code, err := s.send(t.Context(), http.MethodGet, "http://"+s.address()+"/metrics", nil, nil, &metrics)
	if err != nil || code != http.StatusOK || !strings.Contains(metrics.String(), "\nkovra_ready 0\n") {
		t.Errorf("the disk is full, but the metrics (%d, %v) do not say that it is not ready", code, err)
	}
	seen, err := s.slack.Slash(t.Context(), bob, deploys, "/pipeline run web main CLICK="+strings.Repeat("x", 60<<10))
	if err != nil || !strings.Contains(seen.Text(), "cannot write anything down") {
		t.Errorf("the answer to a command is %q (%v)", seen.Text(), err)
	}
	if seen, err := s.slack.Slash(t.Context(), bob, deploys, "/pipeline"); err != nil || !strings.Contains(seen.Text(), "#") {
		t.Errorf("reading needs no space, but the answer is %q (%v)", seen.Text(), err)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if !s.until(func() bool { return s.readiness(t) == http.StatusOK }) {
		t.Fatal("there is space again, and it is not ready")
	}
	if n := strings.Count(s.logged(), "takes no changes: requests are refused"); n != 1 {
		t.Errorf("the log says %d times that the database takes no changes:\n%s", n, s.logged())
	}
	if n := strings.Count(s.logged(), `"level":"WARN","msg":"reconcile failed"`); n > 3 {
		t.Errorf("the log complains %d times of what it had told", n)
	}
	if err := s.lab.FinishPipeline(web, ref.ID, "success"); err != nil {
		t.Fatal(err)
	}
	s.shows(t, deploys, "Success · #101")
	s.acknowledgedIsKept(t, acknowledged)
	s.oneParentEach(t)
}

// hook sends a webhook of about a size by hand; GitLab would send none after four failures.
func (s *story) hook(t *testing.T, key string, size int) int {
	t.Helper()
	h := http.Header{"X-Gitlab-Token": {storySecret}, "X-Gitlab-Event": {"Push Hook"}, "Idempotency-Key": {key}, "Content-Type": {"application/json"}}
	body := fmt.Sprintf(`{"object_kind":"push","project_id":%d,"ref":"refs/heads/main","message":%q}`, web, strings.Repeat("x", size))
	code, err := s.send(t.Context(), http.MethodPost, s.publicURL+"/webhooks/gitlab", h, strings.NewReader(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// acknowledgedIsKept checks that each webhook that was answered with success is in the database.
func (s *story) acknowledgedIsKept(t *testing.T, also map[string]bool) {
	t.Helper()
	if err := kovraSettle(s, nil); err != nil {
		t.Fatal(err)
	}
	db, err := storage.Open(t.Context(), storage.Options{Path: filepath.Join(s.dir, "kovra.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kept := map[string]bool{}
	err = db.Read(t.Context(), func(tx *storage.Tx) error {
		all, err := tx.Deliveries(storage.DeliveryQuery{Limit: 1 << 20})
		for _, d := range all {
			kept[d.Key] = d.Outcome != "" && d.Outcome != "dead"
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range s.lab.Deliveries() {
		also[d.Header.Get("Idempotency-Key")] = d.Status == http.StatusOK
	}
	n := 0
	for key, acknowledged := range also {
		if acknowledged {
			n++
		}
		if acknowledged && !kept[key] {
			t.Errorf("the webhook %s was acknowledged and is lost", key)
		}
	}
	if n == 0 || n == len(also) {
		t.Errorf("%d of %d webhooks were acknowledged: this proves nothing", n, len(also))
	}
}

// oneParentEach checks that no card was posted twice.
func (s *story) oneParentEach(t *testing.T) {
	t.Helper()
	cards := map[string]int{}
	for _, m := range s.slack.Messages(deploys) {
		if m.User == slacksim.BotUserID && (m.ThreadTS == "" || m.ThreadTS == m.TS) {
			first, _, _ := strings.Cut(slacksim.Text(m), "\n")
			cards[first]++
		}
	}
	for card, n := range cards {
		if n > 1 {
			t.Errorf("%d times: %s", n, card)
		}
	}
}

// TestLogsDiskFull fills the disk of the logs alone: pipelines are shown, with their excerpts, and commands are done all the same.
func TestLogsDiskFull(t *testing.T) {
	loadOnly(t)
	disk := smallDisk(t, "2m")
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(disk, "logs.db"), filepath.Join(dir, "kovra-logs.db")); err != nil {
		t.Fatal(err)
	}
	s := diskStory(t, dir)
	fill(t, filepath.Join(disk, "filler"))
	_, ref := s.lab.Push(web, "main", "One", "alice")
	if err := s.lab.Step(web, ref.ID); err != nil {
		t.Fatal(err)
	}
	job := s.lab.Jobs(web, ref.ID)[0].ID
	if err := s.lab.FinishJob(job, "failed", strings.Repeat("a line of the log\n", 50_000)+"error: it broke\n", "script_failure"); err != nil {
		t.Fatal(err)
	}
	s.shows(t, deploys, "it broke")
	if code := s.readiness(t); code != http.StatusOK {
		t.Errorf("only logs cannot be kept, and it is not ready: %d", code)
	}
	seen, err := s.slack.Slash(t.Context(), bob, deploys, "/pipeline run web main")
	if err != nil || strings.Contains(seen.Text(), "cannot") {
		t.Errorf("a command was answered with %q (%v)", seen.Text(), err)
	}
}
