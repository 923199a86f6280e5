package kovra

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// subject is what is known after words, in that order, of a subject of that kind.
func subject(k SubjectKind, words ...Subject) Subject {
	e := Subject{ID: 1, Project: 7, Kind: k, Key: "1", Version: 3}
	for _, w := range words {
		e.Observe(w)
	}
	return e
}

func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

var ann, bob = GitLabUser{ID: 1, Username: "ann", Name: "Ann"}, GitLabUser{ID: 2, Username: "bob", Name: "Bob"}

func TestSubjectObserve(t *testing.T) {
	opened := Subject{State: "opened", Title: "Add it", URL: "https://gitlab.test/1", Ref: "main", Source: "topic", Draft: true, By: ann, CreatedAt: at(0), UpdatedAt: at(0), MovedAt: at(0)}
	ready := Subject{State: "opened", Title: "Add it now", UpdatedAt: at(2), By: GitLabUser{ID: 1}, MovedAt: at(2)}
	for name, c := range map[string]struct {
		kind  SubjectKind
		words []Subject
		want  Subject
	}{
		"one word": {SubjectMergeRequest, []Subject{opened}, Subject{
			State: "opened", Title: "Add it", URL: "https://gitlab.test/1", Ref: "main", Source: "topic", Draft: true, By: ann, CreatedAt: at(0), UpdatedAt: at(0), MovedAt: at(0),
		}},
		"the newer word, and who is named": {SubjectMergeRequest, []Subject{ready, opened}, Subject{
			State: "opened", Title: "Add it now", By: ann, CreatedAt: at(0), UpdatedAt: at(2), MovedAt: at(2),
		}},
		"another state leaves things out": {SubjectMergeRequest, []Subject{opened, {State: "merged", UpdatedAt: at(3)}}, Subject{
			State: "merged", Title: "Add it", URL: "https://gitlab.test/1", Ref: "main", Source: "topic", By: ann, CreatedAt: at(0), UpdatedAt: at(3), MovedAt: at(0),
		}},
		"opened again": {SubjectMergeRequest, []Subject{{State: "opened", UpdatedAt: at(5)}, {State: "closed", UpdatedAt: at(3)}}, Subject{State: "opened", UpdatedAt: at(5)}},
		"closed and merged at one time": {
			SubjectMergeRequest,
			[]Subject{{State: "merged", UpdatedAt: at(3)}, {State: "closed", UpdatedAt: at(3)}},
			Subject{State: "merged", UpdatedAt: at(3)},
		},
		"a deployment does not go back": {
			SubjectDeployment,
			[]Subject{{State: "success", UpdatedAt: at(1)}, {State: "running", UpdatedAt: at(2), JobURL: "https://gitlab.test/j"}},
			Subject{State: "success", UpdatedAt: at(1), JobURL: "https://gitlab.test/j"},
		},
		"two ends": {SubjectDeployment, []Subject{{State: "failed", UpdatedAt: at(2)}, {State: "success", UpdatedAt: at(1)}}, Subject{State: "failed", UpdatedAt: at(2)}},
		"a word that is not known": {
			SubjectDeployment,
			[]Subject{{State: "quantum", UpdatedAt: at(9)}, {State: "running", UpdatedAt: at(1)}},
			Subject{State: "running", UpdatedAt: at(1)},
		},
		"approvals before all else": {
			SubjectDeployment,
			[]Subject{{Title: "Fix it", Approvals: []Approval{{By: bob, Approved: true, At: at(4)}}, UpdatedAt: at(9)}, {State: "blocked", UpdatedAt: at(1)}},
			Subject{State: "blocked", Title: "Fix it", UpdatedAt: at(1), Approvals: []Approval{{By: bob, Approved: true, At: at(4)}}},
		},
		"a push that is told twice": {
			SubjectPush,
			[]Subject{{State: "pushed", Commits: []Commit{{SHA: "a"}}, Count: 9, Created: true, UpdatedAt: at(1)}, {State: "pushed", Commits: []Commit{{SHA: "b"}}, Count: 1, UpdatedAt: at(2)}},
			Subject{State: "pushed", Commits: []Commit{{SHA: "b"}}, Count: 1, Created: true, UpdatedAt: at(2)},
		},
		"a tag that is gone": {SubjectTag, []Subject{{State: "deleted", Ref: "v1", UpdatedAt: at(1)}, {State: "created", Title: "One", By: ann, Created: true, UpdatedAt: at(1).Add(2 * time.Second)}}, Subject{
			State: "deleted", Ref: "v1", Title: "One", By: ann, Created: true, UpdatedAt: at(1),
		}},
		"a tag that is made again": {
			SubjectTag,
			[]Subject{{State: "created", UpdatedAt: at(0)}, {State: "deleted", UpdatedAt: at(1)}, {State: "created", UpdatedAt: at(2)}},
			Subject{State: "created", UpdatedAt: at(2)},
		},
		"a tag that is moved away and back": {
			SubjectTag,
			[]Subject{{State: "created", UpdatedAt: at(0)}, {State: "created", UpdatedAt: at(2)}, {State: "moved", UpdatedAt: at(1)}},
			Subject{State: "created", UpdatedAt: at(2)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := subject(c.kind, c.words...)
			got.Told = nil
			c.want.ID, c.want.Project, c.want.Kind, c.want.Key, c.want.Version = 1, 7, c.kind, "1", 3
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSubjectApproved(t *testing.T) {
	says := func(u GitLabUser, approved bool, minutes int) Subject {
		return Subject{State: "opened", Approvals: []Approval{{By: u, Approved: approved, At: at(minutes)}}}
	}
	for name, c := range map[string]struct {
		words []Subject
		want  []GitLabUser
	}{
		"nobody":             {[]Subject{{State: "opened"}}, nil},
		"both":               {[]Subject{says(bob, true, 2), says(ann, true, 1)}, []GitLabUser{ann, bob}},
		"taken back":         {[]Subject{says(ann, true, 1), says(ann, false, 2)}, nil},
		"taken back, late":   {[]Subject{says(ann, false, 2), says(ann, true, 1)}, nil},
		"at one time":        {[]Subject{says(ann, true, 1), says(ann, false, 1)}, nil},
		"given again":        {[]Subject{says(ann, false, 1), says(ann, true, 2)}, []GitLabUser{ann}},
		"a push resets":      {[]Subject{{State: "opened", ResetAt: at(2)}, says(ann, true, 1), says(bob, true, 3)}, []GitLabUser{bob}},
		"reset at that time": {[]Subject{says(ann, true, 2), {State: "opened", ResetAt: at(2)}}, nil},
	} {
		e := subject(SubjectMergeRequest, c.words...)
		if diff := cmp.Diff(c.want, e.Approved()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// words makes the words that a fuzzer thinks of: few values, so that they collide.
func words(data []byte) (SubjectKind, []Subject) {
	kinds := []SubjectKind{SubjectMergeRequest, SubjectTag, SubjectDeployment, SubjectRelease, SubjectPush}
	states := []string{"", "opened", "closed", "merged", "created", "blocked", "running", "success", "failed", "deleted", "quantum"}
	next := func(n int) int {
		if len(data) == 0 {
			return 0
		}
		v := int(data[0]) % n
		data = data[1:]
		return v
	}
	when := func() time.Time {
		if n := next(4); n > 0 {
			return at(n)
		}
		return time.Time{}
	}
	kind := kinds[next(len(kinds))]
	users := []GitLabUser{{}, ann, bob, {ID: 1}, {ID: 1, Username: "ann", Name: "Ann Again"}, {Username: "ann"}}
	texts := []string{"", "a", "b"}
	var out []Subject
	for len(data) > 0 && len(out) < 12 {
		w := Subject{
			State: states[next(len(states))], Title: texts[next(3)], URL: texts[next(3)], Ref: texts[next(3)], Draft: next(2) == 1, By: users[next(len(users))],
			Created: next(2) == 1, CreatedAt: when(), UpdatedAt: when(), MovedAt: when(), ResetAt: when(), Count: next(3),
		}
		if w.Count > 0 {
			w.Commits = []Commit{{SHA: texts[next(3)]}}
		}
		if next(2) == 1 {
			w.Approvals = []Approval{{By: users[next(len(users))], Approved: next(2) == 1, Note: texts[next(3)], At: when()}}
		}
		out = append(out, w)
	}
	return kind, out
}

// FuzzSubject tells the same words in other orders, and some of them again: what is known in the end is the same, also
// where it was stored and read back in between.
func FuzzSubject(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		seed := make([]byte, 120)
		for i := range seed {
			seed[i] = byte(rnd.IntN(256))
		}
		f.Add(seed, rnd.Uint64())
	}
	f.Fuzz(func(t *testing.T, data []byte, order uint64) {
		kind, told := words(data)
		want := subject(kind, told...)
		rnd := rand.New(rand.NewPCG(order, 0))
		for range 4 {
			again := slices.Concat(told, told[:rnd.IntN(len(told)+1)])
			rnd.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
			got := subject(kind)
			for _, w := range again {
				got.Observe(w)
				got = stored(t, got)
			}
			if diff := cmp.Diff(stored(t, want), stored(t, got)); diff != "" {
				t.Fatalf("another order of the same words: %s", diff)
			}
		}
	})
}

// stored is the subject as it comes back from where it is kept.
func stored(t *testing.T, e Subject) Subject {
	t.Helper()
	doc, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	out := Subject{ID: e.ID, Project: e.Project, Kind: e.Kind, Key: e.Key, Version: e.Version}
	if err := json.Unmarshal(doc, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCommentWords(t *testing.T) {
	for said, want := range map[string][2]string{
		"": {}, "retry": {"retry", ""}, "  Build  WEB now ": {"build", "web"}, "\t": {},
	} {
		c := Comment{Text: said}
		if verb, app := c.Words(); verb != want[0] || app != want[1] {
			t.Errorf("%q: got %q, %q", said, verb, app)
		}
	}
}

func TestSubjectKinds(t *testing.T) {
	for kind, want := range map[SubjectKind]Topic{
		SubjectMergeRequest: TopicMergeRequests, SubjectTag: TopicTags, SubjectDeployment: TopicDeployments,
		SubjectRelease: TopicReleases, SubjectPush: TopicPushes,
	} {
		if got := kind.Topic(); got != want {
			t.Errorf("%s: got %s, want %s", kind, got, want)
		}
		for _, state := range []string{"failed", "success"} {
			e := Subject{Kind: kind, State: state}
			if want := kind == SubjectDeployment && state == "failed"; e.Failed() != want {
				t.Errorf("%s %s failed: %t", kind, state, e.Failed())
			}
		}
	}
}
