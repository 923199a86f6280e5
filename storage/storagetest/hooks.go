package storagetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// hookTests are about webhooks, the bot's own token, and what administrators are told of them.
var hookTests = map[string]func(*world){
	"HookSight":     testHookSight,
	"HookNotice":    testHookNotice,
	"HookUnlinked":  testHookUnlinked,
	"NoticeThreads": testNoticeThreads,
	"NoticeOnce":    testNoticeOnce,
	"PruneNotices":  testPruneNotices,
	"GitLabToken":   testGitLabToken,
	"TokenRefused":  testTokenRefused,
}

// sees records how a project's webhook is.
func (w *world) sees(project int64, s kovra.HookSight) {
	w.t.Helper()
	s.At = w.now()
	w.update(func(tx *storage.Tx) error { return tx.SawHook(project, s) })
}

// linkProject links an app to a project that is known.
func (w *world) linkProject(app string, project int64) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error { return tx.SaveProject(kovra.Project{ID: project, Path: "group/" + app}) })
	w.link(app, project)
}

// notice returns one; a zero one where there is none.
func (w *world) notice(id int64) kovra.Notice {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) (kovra.Notice, error) {
		n, err := tx.Notice(id)
		if kovra.KindOf(err) == kovra.NotFound {
			return n, nil
		}
		return n, err
	})
}

func noticeRef(id int64) kovra.Ref { return kovra.Ref{Kind: kovra.RefNotice, ID: id} }

// testHookSight: since when it is so is kept, hooks come by path with their apps, and are counted.
func testHookSight(w *world) {
	w.linkProject("web", 7)
	w.linkProject("api", 8)
	w.link("admin", 7)
	w.update(func(tx *storage.Tx) error { return tx.SaveProject(kovra.Project{ID: 9, Path: "group/unlinked"}) })
	began := w.now()
	w.sees(7, kovra.HookSight{Health: kovra.HealthResting, Until: morning.Add(time.Hour), Last: "503"})
	w.pass(time.Minute)
	w.sees(7, kovra.HookSight{Health: kovra.HealthResting, Until: morning.Add(2 * time.Hour), Last: "503"})
	hooks := get(w, func(tx *storage.Tx) ([]kovra.ProjectHook, error) { return tx.Hooks() })
	w.same("order", []string{"group/api", "group/web"}, []string{hooks[0].Project.Path, hooks[1].Project.Path})
	w.same("apps", []string{"admin", "web"}, hooks[1].Apps)
	w.same("sight", kovra.HookSight{
		Health: kovra.HealthResting, Until: morning.Add(2 * time.Hour), Last: "503", Since: began, At: w.now(),
	}, hooks[1].Project.Seen)
	counts := get(w, func(tx *storage.Tx) (map[string]int, error) { return tx.HookHealth() })
	if len(counts) != len(kovra.HookHealths()) || counts["resting"] != 1 || counts["unknown"] != 1 {
		w.t.Errorf("counted %v", counts)
	}
	w.pass(time.Minute)
	w.sees(7, kovra.HookSight{Health: kovra.HealthFine})
	p := get(w, func(tx *storage.Tx) (kovra.Project, error) { return tx.Project(7) })
	w.same("since", w.now(), p.Seen.Since)
	w.refuses(kovra.NotFound, "a project that nobody knows", func(tx *storage.Tx) error { return tx.SawHook(99, kovra.HookSight{}) })
}

// testHookNotice: one notice for all projects, from the first trouble to the end of the last; trouble that comes back soon goes
// on in it.
func testHookNotice(w *world) {
	w.linkProject("web", 7)
	w.linkProject("api", 8)
	w.sees(7, kovra.HookSight{Health: kovra.HealthFine})
	w.sees(8, kovra.HookSight{Health: kovra.HealthNone})
	w.same("nothing is wrong", kovra.Notice{}, w.notice(1))
	w.notices()
	w.sees(7, kovra.HookSight{Health: kovra.HealthDisabled})
	w.same("told of", [][]kovra.Ref{{noticeRef(1)}}, w.notices())
	w.sees(8, kovra.HookSight{Health: kovra.HealthGone})
	w.sees(7, kovra.HookSight{Health: kovra.HealthFine})
	if n := w.notice(1); n.Kind != kovra.NoticeHooks || !n.Open() || n.Told || w.notice(2).ID != 0 {
		w.t.Errorf("while one is in trouble: %+v", n)
	}
	w.sees(8, kovra.HookSight{Health: kovra.HealthFine})
	if n := w.notice(1); n.Open() || !n.ClosedAt.Equal(w.now()) {
		w.t.Errorf("at the end: %+v", n)
	}
	w.pass(59 * time.Minute)
	w.sees(8, kovra.HookSight{Health: kovra.HealthRefused})
	if n := w.notice(1); !n.Open() || n.Told {
		w.t.Errorf("when it comes back: %+v", n)
	}
	w.sees(8, kovra.HookSight{Health: kovra.HealthFine})
	w.pass(time.Hour)
	w.sees(8, kovra.HookSight{Health: kovra.HealthLacking, Lacks: []string{"Comments"}})
	if w.notice(1).Open() || !w.notice(2).Open() {
		w.t.Errorf("much later: %+v, %+v", w.notice(1), w.notice(2))
	}
}

// testHookUnlinked: what nobody is linked to any more is nobody's trouble.
func testHookUnlinked(w *world) {
	w.linkProject("web", 7)
	w.linkProject("api", 8)
	for _, id := range []int64{7, 8} {
		w.sees(id, kovra.HookSight{Health: kovra.HealthGone})
	}
	w.link("web", 0)
	if !w.notice(1).Open() {
		w.t.Error("over while there is trouble")
	}
	w.update(func(tx *storage.Tx) error { return tx.DeleteApp("api") })
	if w.notice(1).Open() {
		w.t.Error("not over")
	}
	w.link("web", 7)
	if !w.notice(1).Open() {
		w.t.Error("linked again, and nobody is told")
	}
}

// testNoticeThreads: each administrator has one thread, which follows the state.
func testNoticeThreads(w *world) {
	w.linkProject("web", 7)
	w.observe(pipeline(1, kovra.Running))
	w.sees(7, kovra.HookSight{Health: kovra.HealthDisabled})
	w.same("to be told", []kovra.Ref{noticeRef(1)}, w.dirty(kovra.RefNotice))
	for range 2 {
		w.update(func(tx *storage.Tx) error { return tx.TellNotice(1, []string{"U1", "U2"}) })
	}
	w.same("told", []kovra.Ref(nil), w.dirty(kovra.RefNotice))
	threads := w.dirty(kovra.RefThread)
	if len(threads) != 2 {
		w.t.Fatalf("threads %v", threads)
	}
	v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.View(threads[0].ID) })
	if who, alone := v.Thread.Person(); who != "U1" || !alone || v.Thread.Notice != 1 || v.Notice == nil || len(v.Hooks) != 1 || v.NoLogs {
		w.t.Errorf("view %+v", v)
	}
	w.settle()
	w.sees(7, kovra.HookSight{Health: kovra.HealthDisabled})
	w.same("nothing new", []kovra.Ref(nil), w.dirty(kovra.RefThread))
	w.sees(7, kovra.HookSight{Health: kovra.HealthDisabled, Last: "401"})
	w.same("more is known", threads, w.dirty(kovra.RefThread))
	w.settle()
	w.sees(7, kovra.HookSight{Health: kovra.HealthFine})
	w.same("it is over", threads, w.dirty(kovra.RefThread))
	w.same("nobody new is told", []kovra.Ref(nil), w.dirty(kovra.RefNotice))
}

// testNoticeOnce: at one time there is one notice, however many projects fall into trouble at once.
func testNoticeOnce(w *world) {
	const many = 20
	for i := range int64(many) {
		w.linkProject(fmt.Sprintf("app%d", i), i+1)
	}
	together(many, func(i int) {
		err := w.db.Update(w.t.Context(), func(tx *storage.Tx) error {
			return tx.SawHook(int64(i+1), kovra.HookSight{Health: kovra.HealthDisabled})
		})
		if err != nil {
			w.t.Error(err)
		}
	})
	if !w.notice(1).Open() || w.notice(2).ID != 0 {
		w.t.Errorf("notices %+v, %+v", w.notice(1), w.notice(2))
	}
}

// testPruneNotices: what is over goes with its threads; trouble that goes on stays.
func testPruneNotices(w *world) {
	w.linkProject("web", 7)
	w.sees(7, kovra.HookSight{Health: kovra.HealthDisabled})
	w.sees(7, kovra.HookSight{Health: kovra.HealthFine})
	w.pass(2 * time.Hour)
	w.sees(7, kovra.HookSight{Health: kovra.HealthGone})
	for _, id := range []int64{1, 2} {
		w.update(func(tx *storage.Tx) error { return tx.TellNotice(id, []string{"U1"}) })
	}
	first := w.dirty(kovra.RefThread)[0]
	w.update(func(tx *storage.Tx) error { return tx.SaveSlot(first.ID, kovra.Slot{Key: kovra.SlotCard, TS: "1.2"}) })
	w.pass(time.Hour)
	w.update(func(tx *storage.Tx) error { return tx.PruneNotices(w.now()) })
	if w.notice(1).ID != 0 || w.notice(2).ID != 2 || len(w.dirty(kovra.RefThread)) != 1 {
		w.t.Errorf("left: %+v, %+v, %v", w.notice(1), w.notice(2), w.dirty(kovra.RefThread))
	}
	w.refuses(kovra.NotFound, "its thread", func(tx *storage.Tx) error { _, err := tx.View(first.ID); return err })
}

// expiries are the announcements that were made, and whether they hold.
func (w *world) expiries() (out []string) {
	w.t.Helper()
	for id := int64(1); ; id++ {
		n := w.notice(id)
		if n.ID == 0 {
			return out
		}
		state := "open"
		if !n.Open() {
			state = "over"
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %d %s", n.Kind, n.Days, state)))
	}
}

// testGitLabToken: the end of the token is announced once for each time before it, and those of another token are over.
func testGitLabToken(w *world) {
	ends := morning.AddDate(0, 0, 40).Truncate(24 * time.Hour)
	see := func(t kovra.TokenSight) {
		t.At = w.now()
		w.update(func(tx *storage.Tx) error { return tx.SawGitLabToken(t) })
	}
	w.same("never asked", kovra.TokenSight{}, get(w, func(tx *storage.Tx) (kovra.TokenSight, error) { return tx.GitLabToken() }))
	mine := kovra.TokenSight{ID: 5, Name: "kovra", Expires: ends}
	see(mine)
	w.same("too early", []string(nil), w.expiries())
	for range 45 {
		w.pass(24 * time.Hour)
		see(mine)
		see(mine)
		if w.now().Before(ends) {
			w.reopen()
		}
	}
	w.same("all three", []string{"expiry 30 open", "expiry 7 open", "expiry 1 open"}, w.expiries())
	w.same("ends", ends, get(w, func(tx *storage.Tx) (time.Time, error) { return tx.TokenEnds() }))
	mine.At = w.now()
	w.same("seen", mine, get(w, func(tx *storage.Tx) (kovra.TokenSight, error) { return tx.GitLabToken() }))
	see(kovra.TokenSight{ID: 6, Expires: w.now().AddDate(0, 0, 5)})
	w.same("another token", []string{"expiry 30 over", "expiry 7 over", "expiry 1 over", "expiry 5 open"}, w.expiries())
	w.update(func(tx *storage.Tx) error { return tx.TellNotice(4, []string{"U1"}) })
	v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.View(w.dirty(kovra.RefThread)[0].ID) })
	if v.Notice.Token.ID != 6 || v.Notice.Days != 5 || v.Token.ID != 6 || v.Hooks != nil {
		w.t.Errorf("view %+v", v)
	}
}

// testTokenRefused: it is told once, and what was known of the token before stays known.
func testTokenRefused(w *world) {
	see := func(t kovra.TokenSight) {
		w.update(func(tx *storage.Tx) error { return tx.SawGitLabToken(t) })
	}
	good := kovra.TokenSight{ID: 5, Name: "kovra", Expires: morning.AddDate(0, 0, 6)}
	see(good)
	for range 3 {
		see(kovra.TokenSight{Refused: "It is revoked.", At: w.now()})
		w.pass(time.Minute)
	}
	w.same("told", []string{"expiry 6 open", "refused 0 open"}, w.expiries())
	got := get(w, func(tx *storage.Tx) (kovra.TokenSight, error) { return tx.GitLabToken() })
	if got.Refused == "" || cmp.Or(got.Name, "?") != good.Name || !got.Expires.Equal(good.Expires) {
		w.t.Errorf("known: %+v", got)
	}
	see(kovra.TokenSight{ID: 6})
	see(kovra.TokenSight{Refused: "It is revoked."})
	w.same("again", []string{"expiry 6 over", "refused 0 over", "refused 0 open"}, w.expiries())
	if !slices.Contains(w.dirty(), noticeRef(3)) {
		w.t.Error("nobody is told")
	}
}
