package webhooks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func TestDecodeNote(t *testing.T) {
	want := kovra.Comment{
		Note: 1244, Discussion: "e1c5", MR: 12, Source: "topic", Branch: "topic", Pipeline: 31, By: ann, Text: "retry",
		URL: "https://gitlab.example.com/group/web/-/merge_requests/12#note_1244",
	}
	for name, c := range map[string]struct {
		old, new string
		want     func(kovra.Comment) *kovra.Comment // nil: nothing that concerns us
	}{
		"as it is":            {"", "", func(c kovra.Comment) *kovra.Comment { return &c }},
		"no action":           {`"action": "create", `, ``, func(c kovra.Comment) *kovra.Comment { return &c }},
		"more lines":          {"/kovra retry", `\n /Kovra  build   web \r\nPlease!`, func(c kovra.Comment) *kovra.Comment { c.Text = "build web"; return &c }},
		"nothing else":        {"/kovra retry", "/kovra", func(c kovra.Comment) *kovra.Comment { c.Text = ""; return &c }},
		"very long":           {"retry", strings.Repeat("x", 900), func(c kovra.Comment) *kovra.Comment { c.Text = strings.Repeat("x", 200); return &c }},
		"a fork":              {`"source_project_id": 7`, `"source_project_id": 8`, func(c kovra.Comment) *kovra.Comment { c.Branch = ""; return &c }},
		"no pipeline":         {`"head_pipeline_id": 31`, `"head_pipeline_id": null`, func(c kovra.Comment) *kovra.Comment { c.Pipeline = 0; return &c }},
		"changed":             {`"create"`, `"update"`, nil},
		"of the system":       {`"system": false`, `"system": true`, nil},
		"on a commit":         {`"MergeRequest"`, `"Commit"`, nil},
		"not first":           {"/kovra retry", `please\n/kovra retry`, nil},
		"another word":        {"/kovra", "/kovrax", nil},
		"talk":                {"/kovra retry", "Looks good.", nil},
		"empty":               {"/kovra retry", "", nil},
		"a bot's own":         {`"username": "ann"`, `"username": "project_7_bot_1"`, nil},
		"on we know not what": {`"MergeRequest"`, `7`, nil},
	} {
		body := strings.Replace(noteBody, c.old, c.new, 1)
		h, err := decode(kovra.Delivery{Body: []byte(body), At: testNow}, true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var wanted *kovra.Comment
		if c.want != nil {
			wanted = c.want(want)
		}
		if diff := cmp.Diff(wanted, h.comment); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for missing, old := range map[string]string{"comment's id": `"id": 1244`, "number of": `"iid": 12`, "author of": `"id": 1,`} {
		h, err := decode(kovra.Delivery{Body: []byte(strings.Replace(noteBody, old, strings.Replace(old, "d", "x", 1), 1))}, true)
		if err == nil || !strings.Contains(err.Error(), missing) || h.comment != nil {
			t.Errorf("%s missing: got %+v, %v", missing, h.comment, err)
		}
	}
}

// asked are all actions, oldest first.
func asked(t *testing.T, db *storage.DB) []kovra.Action {
	t.Helper()
	var out []kovra.Action
	err := db.Read(t.Context(), func(tx *storage.Tx) (err error) {
		for id := int64(1); err == nil; id++ {
			var a kovra.Action
			if a, err = tx.Action(id); err == nil {
				out = append(out, a)
			}
		}
		if kovra.KindOf(err) == kovra.NotFound {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// observed folds pipelines of project 7.
func observed(t *testing.T, db *storage.DB, os ...kovra.Observation) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *storage.Tx) error {
		for _, o := range os {
			o.Run.Project = 7
			if _, _, err := tx.Observe(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCommentsAsk(t *testing.T) {
	failed := kovra.Observation{
		Run:  kovra.Run{Remote: 31, Ref: "topic", Status: kovra.Failed, FinishedAt: testNow, Source: "merge_request_event", MR: kovra.MergeRequest{IID: 12}},
		Jobs: []kovra.Job{{ID: 5, Name: "unit", Status: kovra.Failed}, {ID: 6, Name: "lint", Status: kovra.Success}},
	}
	later := kovra.Observation{Run: kovra.Run{Remote: 40, Ref: "topic", Status: kovra.Running, Source: "push"}}
	other := kovra.Observation{Run: kovra.Run{Remote: 41, Ref: "topic", Status: kovra.Running, Source: "merge_request_event", MR: kovra.MergeRequest{IID: 99}}}
	const headless, fork = `"head_pipeline_id": 31`, `"source_project_id": 7`
	type want struct {
		Kind   kovra.ActionKind
		App    string
		Remote int64 // pipeline of the action's run
		Ref    string
		Jobs   []int64
	}
	for name, c := range map[string]struct {
		apps    []string
		known   []kovra.Observation
		replace []string
		want    want
	}{
		"retry":                       {[]string{"web"}, []kovra.Observation{failed, later}, nil, want{Kind: kovra.ActRetry, App: "web", Remote: 31, Jobs: []int64{5}}},
		"cancel":                      {[]string{"web"}, []kovra.Observation{failed}, []string{"retry", "CANCEL"}, want{Kind: kovra.ActCancel, App: "web", Remote: 31}},
		"retry, of several":           {[]string{"web", "api"}, []kovra.Observation{failed}, nil, want{Kind: kovra.ActRetry, App: "api", Remote: 31, Jobs: []int64{5}}},
		"retry, one named":            {[]string{"web", "api"}, []kovra.Observation{failed}, []string{"retry", "retry web"}, want{Kind: kovra.ActRetry, App: "web", Remote: 31, Jobs: []int64{5}}},
		"a pipeline not heard of":     {[]string{"web"}, nil, nil, want{Kind: kovra.ActRetry, App: "web", Remote: 31}},
		"of a fork, not heard of":     {[]string{"web"}, nil, []string{fork, `"source_project_id": 8`}, want{Kind: kovra.ActHelp}},
		"the merge request's newest":  {[]string{"web"}, []kovra.Observation{failed, later, other}, []string{headless, `"x": 1`}, want{Kind: kovra.ActRetry, App: "web", Remote: 31, Jobs: []int64{5}}},
		"the branch's newest":         {[]string{"web"}, []kovra.Observation{later, other}, []string{headless, `"x": 1`}, want{Kind: kovra.ActRetry, App: "web", Remote: 40}},
		"a branch of that name":       {[]string{"web"}, []kovra.Observation{later}, []string{headless, `"x": 1`, fork, `"source_project_id": 8`}, want{Kind: kovra.ActHelp}},
		"no pipeline":                 {[]string{"web"}, nil, []string{headless, `"x": 1`}, want{Kind: kovra.ActHelp}},
		"no branch is told":           {[]string{"web"}, []kovra.Observation{later}, []string{headless, `"x": 1`, `"source_branch": "topic"`, `"y": 1`}, want{Kind: kovra.ActHelp}},
		"build":                       {[]string{"web"}, nil, []string{"retry", "build"}, want{Kind: kovra.ActBuild, App: "web", Ref: "topic"}},
		"build, one named":            {[]string{"web", "api"}, nil, []string{"retry", "build WEB please"}, want{Kind: kovra.ActBuild, App: "web", Ref: "topic"}},
		"build, of several":           {[]string{"web", "api"}, nil, []string{"retry", "build"}, want{Kind: kovra.ActHelp}},
		"build, of another's":         {[]string{"web"}, nil, []string{"retry", "build docs"}, want{Kind: kovra.ActHelp}},
		"build, from a fork":          {[]string{"web"}, nil, []string{"retry", "build", fork, `"source_project_id": 8`}, want{Kind: kovra.ActHelp}},
		"something else":              {[]string{"web"}, []kovra.Observation{failed}, []string{"retry", "dance"}, want{Kind: kovra.ActHelp}},
		"nothing":                     {[]string{"web"}, []kovra.Observation{failed}, []string{" retry", ""}, want{Kind: kovra.ActHelp}},
		"a pipeline that is not ours": {[]string{"web"}, []kovra.Observation{failed}, []string{headless, `"head_pipeline_id": -5`}, want{Kind: kovra.ActRetry, App: "web", Remote: 31, Jobs: []int64{5}}},
	} {
		t.Run(name, func(t *testing.T) {
			db := openDB(t)
			linkApps(t, db, c.apps...)
			observed(t, db, c.known...)
			body := noteBody
			for i := 0; i < len(c.replace); i += 2 {
				body = strings.Replace(body, c.replace[i], c.replace[i+1], 1)
			}
			for i := range 2 { // by the project's hook and by the group's
				journal(t, db, kovra.Delivery{Key: fmt.Sprint(i), Kind: "Note Hook", Body: []byte(body)})
			}
			foldPending(t, NewIntake(IntakeOptions{DB: db}))
			ds, actions := stored(t, db), asked(t, db)
			if ds[0].Outcome != kovra.DeliveryFolded || ds[1].Outcome != kovra.DeliverySame || len(actions) != 1 {
				t.Fatalf("%s, %s, %d actions", ds[0].Outcome, ds[1].Outcome, len(actions))
			}
			a := actions[0]
			got := want{Kind: a.Kind, App: a.App, Ref: a.Params.Ref, Jobs: a.Params.Jobs, Remote: remoteOf(t, db, a.Run)}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if a.By != (kovra.Person{Name: "Ann", GitLab: ann}) || a.Lock != "note/7/1244" || a.Params.Comment == nil || a.Params.Comment.Project != 7 {
				t.Errorf("got %+v", a)
			}
		})
	}
}

// An action that failed has left its lock; the comment asks only once all the same.
func TestCommentAsksOnce(t *testing.T) {
	db := openDB(t)
	linkApps(t, db, "web")
	in := NewIntake(IntakeOptions{DB: db})
	journal(t, db, kovra.Delivery{Key: "1", Kind: "Note Hook", Body: []byte(noteBody)})
	foldPending(t, in)
	err := db.Update(t.Context(), func(tx *storage.Tx) error { return tx.FinishAction(1, kovra.ActionFailed, kovra.Outcome{}) })
	if err != nil {
		t.Fatal(err)
	}
	journal(t, db, kovra.Delivery{Key: "2", Kind: "Note Hook", Body: []byte(noteBody)})
	foldPending(t, in)
	if n, outcome := len(asked(t, db)), stored(t, db)[1].Outcome; n != 1 || outcome != kovra.DeliverySame {
		t.Errorf("%d actions, %s", n, outcome)
	}
}

func linkApps(t *testing.T, db *storage.DB, names ...string) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *storage.Tx) error {
		if err := tx.SaveProject(kovra.Project{ID: 7, Path: "group/web"}); err != nil {
			return err
		}
		for _, name := range names {
			if err := tx.SaveApp(kovra.App{Name: name, Project: 7}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func remoteOf(t *testing.T, db *storage.DB, run int64) int64 {
	t.Helper()
	if run == 0 {
		return 0
	}
	var r kovra.Run
	err := db.Read(t.Context(), func(tx *storage.Tx) (err error) {
		r, err = tx.Run(run)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Remote
}
