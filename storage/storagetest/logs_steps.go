package storagetest

import (
	"fmt"

	"kovra.dev/chatops/internal/kovra"
)

var buildLog = kovra.LogKey{Kind: kovra.BuildLog, Project: group, ID: 1}

// stepChanges returns what OnSteps heard since the last time.
func (w *logWorld) stepChanges() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.steps
	w.steps = nil
	return heard
}

// testLogFollowed: logs of builds and deployments have a loop of their own.
func testLogFollowed(w *logWorld) {
	openSteps := func() []int64 {
		ids, err := w.logs.OpenSteps(w.t.Context())
		w.must(err)
		return ids
	}
	subject := kovra.LogSubject{Name: "web", Status: kovra.Running}
	build, err := w.logs.Follow(w.t.Context(), buildLog, subject)
	w.must(err)
	w.same("told of a new one", []int64{build.ID}, w.stepChanges())
	again, err := w.logs.Follow(w.t.Context(), buildLog, subject)
	w.must(err)
	w.same("the same again", build, again)
	subject.Status = kovra.Success
	again, err = w.logs.Follow(w.t.Context(), buildLog, subject)
	w.must(err)
	w.same("another subject", subject, again.Subject)
	w.same("told of nothing new", []int64(nil), w.stepChanges())

	opened, err := w.logs.Touch(w.t.Context(), kovra.LogKey{Kind: kovra.DeploymentLog, ID: 1})
	w.must(err)
	w.same("told of one that is opened", []int64{opened.ID}, w.stepChanges())
	w.same("open", []int64{build.ID}, openSteps())
	_, err = w.logs.Follow(w.t.Context(), opened.Key, subject)
	w.must(err)
	w.same("told of one that was only opened", []int64{opened.ID}, w.stepChanges())
	w.logs.KickSteps(build.ID)
	w.same("kicked", []int64{build.ID}, w.stepChanges())
	w.same("open", []int64{build.ID, opened.ID}, openSteps())

	ids, err := w.logs.Open(w.t.Context(), morning.Add(-1), 100)
	w.must(err)
	w.same("no logs of jobs", []int64(nil), ids)
	read, err := w.logs.Read(w.t.Context(), morning.Add(-1))
	w.must(err)
	w.same("nor read ones", []kovra.Log(nil), read)
	w.same("the loop of jobs heard", []int64(nil), w.changes())
	w.must(w.logs.Note(w.t.Context(), build.ID, func(l *kovra.Log) { l.Done = true }))
	_, err = w.logs.Follow(w.t.Context(), buildLog, subject)
	w.must(err)
	w.same("done", []int64{opened.ID}, openSteps())
	w.same("told of one that is done", []int64(nil), w.stepChanges())
}

// testLogFollowedAt: the cursor is kept together with the lines before it.
func testLogFollowedAt(w *logWorld) {
	log, err := w.logs.Follow(w.t.Context(), buildLog, kovra.LogSubject{})
	w.must(err)
	lines := func(from, n int) []kovra.LogLine {
		var out []kovra.LogLine
		for i := range n {
			out = append(out, kovra.LogLine{N: from + i, Text: fmt.Sprint("line ", from+i)})
		}
		return out
	}
	at := func(want string, cursor string, more []kovra.LogLine) {
		w.t.Helper()
		if _, err := w.logs.AppendAt(w.t.Context(), log.ID, more, cursor); (err != nil) != (want == "") {
			w.t.Errorf("append at %q: %v", cursor, err)
		}
		if now := w.log(log.ID); want != "" {
			w.same("cursor", want, now.Cursor)
		}
	}
	at("a", "a", lines(1, 3))
	at("", "lost", lines(5, 1)) // a gap: neither the line nor the cursor is kept
	w.same("after a gap", "a", w.log(log.ID).Cursor)
	at("b", "b", nil)
	at("c", "c", lines(3, 2)) // one of them is there already
	w.same("text", "line 1\nline 2\nline 3\nline 4\n", w.text(log.ID))
	before := w.log(log.ID)
	at("c", "c", nil)
	w.same("nothing new", before, w.log(log.ID))
	_, err = w.logs.Append(w.t.Context(), log.ID, lines(5, 1))
	w.must(err)
	w.same("appended without a cursor", "c", w.log(log.ID).Cursor)
	w.must(w.logs.Note(w.t.Context(), log.ID, func(l *kovra.Log) { l.Note = "x" }))
	w.same("after a note", "c", w.log(log.ID).Cursor)
}
