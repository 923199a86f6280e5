package webhooks

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

var zeros = strings.Repeat("0", 40)

// sha is a made-up commit.
func sha(n int) string { return fmt.Sprintf("%040x", 0xc0ffee00+n) }

const pushBody = `{
  "object_kind": "push", "event_name": "push", "before": "95790bf891e76fee5e1747ab589903a6a1f80f22",
  "after": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7", "ref": "refs/heads/main", "checkout_sha": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
  "user_id": 4, "user_name": "Ann", "user_username": "ann", "user_email": "ann@example.com", "project_id": 7,
  "project": {"id": 7, "default_branch": "main"},
  "commits": [
    {"id": "b6568db1bc1dcd7f8b4d5a946b0b91f9dacd7327", "message": "Older", "author": {"name": "Bob"}, "added": ["b", "a"], "modified": ["c"]},
    {"id": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7", "title": "Fix it", "message": "Fix it\n\nAt last.\n",
     "author": {"name": "Eve", "email": "eve@example.com"}, "added": [], "modified": ["c"], "removed": ["old/d", ""]}
  ],
  "total_commits_count": 2
}`

const tagBody = `{
  "object_kind": "tag_push", "before": "0000000000000000000000000000000000000000",
  "after": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ref": "refs/tags/v1/rc", "checkout_sha": "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7",
  "user_name": "Ann", "project_id": 7, "commits": [{"id": "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7", "message": "Release", "author": {"name": "Bob"}}],
  "total_commits_count": 1
}`

func decodedPush(t *testing.T, body string) kovra.Push {
	t.Helper()
	h, err := decode(kovra.Delivery{Body: []byte(body), At: testNow}, true)
	if err != nil || h.push == nil || h.seen != nil {
		t.Fatalf("got %+v, %v", h, err)
	}
	return *h.push
}

func TestDecodePush(t *testing.T) {
	want := kovra.Push{
		Project: 7, Ref: "main", Before: "95790bf891e76fee5e1747ab589903a6a1f80f22", After: "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
		Title: "Fix it", Author: kovra.GitLabUser{Name: "Eve"}, Pusher: kovra.GitLabUser{ID: 4, Username: "ann", Name: "Ann"},
		Paths: []string{"a", "b", "c", "old/d"}, AllPaths: true,
	}
	if diff := cmp.Diff(want, decodedPush(t, pushBody)); diff != "" {
		t.Error(diff)
	}
	if h, err := decode(kovra.Delivery{Body: []byte(pushBody)}, false); err != nil || h.push != nil || h.kind != kindPush {
		t.Errorf("while nobody wants to know: %+v, %v", h, err)
	}
}

// The tag's own object is not the commit.
func TestDecodeTagPush(t *testing.T) {
	want := kovra.Push{
		Project: 7, Ref: "v1/rc", Tag: true, After: "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7", Title: "Release",
		Author: kovra.GitLabUser{Name: "Bob"}, Pusher: kovra.GitLabUser{Name: "Ann"},
	}
	if diff := cmp.Diff(want, decodedPush(t, tagBody)); diff != "" {
		t.Error(diff)
	}
}

func TestDecodePushVariants(t *testing.T) {
	after := "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
	tests := []struct {
		name, old, new string
		check          func(kovra.Push) bool
	}{
		{"deleted", `"after": "` + after, `"after": "` + zeros, func(p kovra.Push) bool { return p.After == "" && p.Title == "" }},
		{"new branch", "95790bf891e76fee5e1747ab589903a6a1f80f22", zeros, func(p kovra.Push) bool { return p.Before == "" && !p.AllPaths }},
		{"SHA-256", "95790bf891e76fee5e1747ab589903a6a1f80f22", strings.Repeat("ab", 32), func(p kovra.Push) bool { return len(p.Before) == 64 }},
		{"before is nonsense", "95790bf891e76fee5e1747ab589903a6a1f80f22", "HEAD", func(p kovra.Push) bool { return p.Before == "" && p.After == after }},
		{"not all listed", `"total_commits_count": 2`, `"total_commits_count": 21`, func(p kovra.Push) bool { return !p.AllPaths && len(p.Paths) == 4 }},
		{"total is not told", `"total_commits_count": 2`, `"x": 2`, func(p kovra.Push) bool { return !p.AllPaths }},
		{"set back", `"commits": [`, `"commits": [], "x": [`, func(p kovra.Push) bool { return !p.AllPaths && p.Paths == nil && p.Title == "" }},
		{"branch with slashes", "refs/heads/main", "refs/heads/refs/tags/x", func(p kovra.Push) bool { return p.Ref == "refs/tags/x" && !p.Tag }},
		{"upper case", `"after": "` + after, `"after": "` + strings.ToUpper(after), func(p kovra.Push) bool { return p.After == after && p.Title == "Fix it" }},
		{"a commit that is none", `{"id": "b6568db1bc1dcd7f8b4d5a946b0b91f9dacd7327"`, `null, {"id": 5`, func(p kovra.Push) bool { return p.Title == "Fix it" && !p.AllPaths }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := strings.Replace(pushBody, tt.old, tt.new, 1)
			if body == pushBody {
				t.Fatal("the test changes nothing")
			}
			if got := decodedPush(t, body); !tt.check(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// buildsOf switches the builds of the project's app on.
func buildsOf(tb testing.TB, db *storage.DB, project int64, s kovra.BuildSettings) {
	tb.Helper()
	err := db.Update(tb.Context(), func(tx *storage.Tx) error {
		apps, err := tx.AppsOfProject(project)
		if err != nil {
			return err
		}
		s.App, s.Enabled, s.Supersede = apps[0].Name, true, true
		return tx.SaveBuildSettings(s, "")
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// buildsIn returns the builds of the project's app, oldest first.
func buildsIn(tb testing.TB, db *storage.DB, project int64) []kovra.Build {
	tb.Helper()
	var all []kovra.Build
	err := db.Read(tb.Context(), func(tx *storage.Tx) error {
		apps, err := tx.AppsOfProject(project)
		if err != nil {
			return err
		}
		all, err = tx.Builds(storage.BuildQuery{App: apps[0].Name, Limit: 100})
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

// pushDelivery is one push as GitLab tells it.
func pushDelivery(key string, project int, ref, before, after string) kovra.Delivery {
	kind, header := "push", "Push Hook"
	if strings.HasPrefix(ref, "refs/tags/") {
		kind, header = "tag_push", "Tag Push Hook"
	}
	return kovra.Delivery{Key: key, Kind: header, Body: fmt.Appendf(nil,
		`{"object_kind":%q,"ref":%q,"before":%q,"after":%q,"checkout_sha":%q,"project_id":%d,"commits":[{"id":%q,"title":"Change"}],"total_commits_count":1}`,
		kind, ref, before, after, after, project, after)}
}

func TestIntakeTakesPushes(t *testing.T) {
	db := openDB(t)
	linkProjects(t, db, kovra.Project{ID: 7}, kovra.Project{ID: 8})
	buildsOf(t, db, 7, kovra.BuildSettings{Branch: "main", Tags: "v*"})
	const main, other = "refs/heads/main", "refs/heads/other"
	deliveries := []struct {
		kovra.Delivery
		want kovra.DeliveryOutcome
	}{
		{pushDelivery("first", 7, main, sha(0), sha(1)), kovra.DeliveryFolded},
		{pushDelivery("again", 7, main, sha(0), sha(1)), kovra.DeliverySame},
		{pushDelivery("other branch", 7, other, sha(0), sha(5)), kovra.DeliveryIgnored},
		{pushDelivery("other project", 8, main, sha(0), sha(5)), kovra.DeliveryIgnored},
		{pushDelivery("stranger", 9, main, sha(0), sha(5)), kovra.DeliveryIgnored},
		{pushDelivery("late", 7, main, sha(2), sha(3)), kovra.DeliveryFolded},
		{pushDelivery("before it", 7, main, sha(1), sha(2)), kovra.DeliveryFolded},
		{pushDelivery("first again", 7, main, sha(0), sha(1)), kovra.DeliverySame},
		{pushDelivery("tag", 7, "refs/tags/v1", zeros, sha(3)), kovra.DeliveryFolded},
		{pushDelivery("tag again", 7, "refs/tags/v1", zeros, sha(3)), kovra.DeliverySame},
		{pushDelivery("other tag", 7, "refs/tags/w1", zeros, sha(3)), kovra.DeliveryIgnored},
		{pushDelivery("tag gone", 7, "refs/tags/v1", sha(3), zeros), kovra.DeliverySame},
		{pushDelivery("gone", 7, main, sha(3), zeros), kovra.DeliveryFolded},
		{pushDelivery("nonsense", 7, main, sha(3), "HEAD"), kovra.DeliveryDead},
	}
	want := map[string]kovra.DeliveryOutcome{}
	for _, d := range deliveries {
		journal(t, db, d.Delivery)
		want[d.Key] = d.want
	}
	foldPending(t, NewIntake(IntakeOptions{DB: db, Builds: true}))
	for _, d := range stored(t, db) {
		if d.Outcome != want[d.Key] {
			t.Errorf("%s: got %q (%s), want %q", d.Key, d.Outcome, d.Note, want[d.Key])
		}
	}
	var got []string
	for _, b := range buildsIn(t, db, 7) {
		got = append(got, fmt.Sprintf("%s %s %s", b.Spec.Branch, b.Spec.Commit[38:], b.Status))
	}
	if diff := cmp.Diff([]string{"main 01 Cancelled", "main 03 Pending", "main 02 Cancelled", "v1 03 Pending"}, got); diff != "" {
		t.Error(diff)
	}
}

// While builds are off, and no channel wants to hear of them, pushes are nobody's.
func TestIntakeWithoutBuilds(t *testing.T) {
	db := openDB(t)
	linkProjects(t, db, kovra.Project{ID: 7})
	buildsOf(t, db, 7, kovra.BuildSettings{Branch: "main"})
	journal(t, db, pushDelivery("push", 7, "refs/heads/main", sha(0), sha(1)), pushDelivery("tag", 7, "refs/tags/v1", zeros, sha(1)))
	foldPending(t, NewIntake(IntakeOptions{DB: db}))
	for _, d := range stored(t, db) {
		if d.Outcome != kovra.DeliveryIgnored || d.Note != "no channel wants to hear of it" {
			t.Errorf("%s: got %q (%s)", d.Key, d.Outcome, d.Note)
		}
	}
	if n := len(buildsIn(t, db, 7)); n != 0 {
		t.Errorf("%d builds", n)
	}
}

// Three pushes, each told three times, in every order: one build of each commit, and the last one is left.
func TestIntakeTakesPushesInAnyOrder(t *testing.T) {
	for _, order := range [][]int{{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}, {3, 3, 1, 2, 1, 3, 2, 2, 1}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			db := openDB(t)
			linkProjects(t, db, kovra.Project{ID: 7})
			buildsOf(t, db, 7, kovra.BuildSettings{Branch: "main"})
			setHead(t, db, sha(0))
			for i, n := range order {
				journal(t, db, pushDelivery(strconv.Itoa(i), 7, "refs/heads/main", sha(n-1), sha(n)))
			}
			foldPending(t, NewIntake(IntakeOptions{DB: db, Builds: true}))
			var commits, pending []string
			for _, b := range buildsIn(t, db, 7) {
				commits = append(commits, b.Spec.Commit)
				if b.Status == kovra.BuildPending {
					pending = append(pending, b.Spec.Commit)
				}
			}
			slices.Sort(commits)
			if diff := cmp.Diff([]string{sha(1), sha(2), sha(3)}, commits); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{sha(3)}, pending); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// setHead has the branch of every app be at a commit, as a re-read finds it.
func setHead(t *testing.T, db *storage.DB, commit string) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *storage.Tx) error {
		_, err := tx.TakePush(kovra.Push{Project: 7, Ref: "main", After: commit, Read: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
