package storagetest

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// peopleTests are about what channels and people want to hear, and who people are.
var peopleTests = map[string]func(*world){
	"SeveralSubscriptions": testSeveralSubscriptions,
	"TopicsOf":             testTopicsOf,
	"Subjects":             testSubjects,
	"SubjectThreads":       testSubjectThreads,
	"PruneSubjects":        testPruneSubjects,
	"Accounts":             testAccounts,
	"OneAccountOnePerson":  testOneAccountOnePerson,
	"Tokens":               testTokens,
	"Matches":              testMatches,
	"Waits":                testWaits,
	"WaitsForThePlace":     testWaitsForThePlace,
	"WaitsAgain":           testWaitsAgain,
	"Heeded":               testHeeded,
	"WaitsForTheLast":      testWaitsForTheLast,
	"WaitsAnew":            testWaitsAnew,
	"PromptOnce":           testPromptOnce,
	"Asked":                testAsked,
	"OwnThreads":           testOwnThreads,
	"Watch":                testWatch,
	"Homes":                testHomes,
	"ForgetsRuns":          testForgetsRuns,
	"ForgetsBuilds":        testForgetsBuilds,
}

var (
	ann  = kovra.GitLabUser{ID: 1, Username: "ann", Name: "Ann"}
	anna = kovra.GitLabUser{ID: 2, Username: "anna", Name: "Anna"}
)

func pair(access string) kovra.TokenPair {
	return kovra.TokenPair{Access: access, Refresh: "r-" + access, Expires: morning.Add(2 * time.Hour)}
}

func (w *world) connect(slackUser string, u kovra.GitLabUser, access string) {
	w.t.Helper()
	w.update(func(tx *storage.Tx) error { return tx.Connect(slackUser, u, pair(access)) })
}

func (w *world) account(slackUser string) kovra.Account {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) (kovra.Account, error) { return tx.Account(slackUser) })
}

// tokens returns the access token of a person; "" for none.
func (w *world) tokens(slackUser string) string {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) (string, error) {
		p, known, err := tx.Tokens(slackUser)
		if known != (p.Access != "") {
			w.t.Errorf("known: %t, tokens %+v", known, p)
		}
		return p.Access, err
	})
}

func (w *world) match(gitlabUser int64) kovra.Match {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) (kovra.Match, error) {
		m, known, err := tx.Match(gitlabUser)
		if known == m.CheckedAt.IsZero() {
			w.t.Errorf("known: %t, match %+v", known, m)
		}
		return m, err
	})
}

func testAccounts(w *world) {
	w.same("unknown", kovra.Account{Slack: "U1", Notify: kovra.NotifyOff}, w.account("U1"))
	w.update(func(tx *storage.Tx) error { return tx.SetNotify("U1", kovra.NotifyFailures) })
	w.same("told, not connected", kovra.Account{Slack: "U1", Notify: kovra.NotifyFailures, NotifySince: morning}, w.account("U1"))
	w.pass(time.Minute)
	w.connect("U1", ann, "a")
	want := kovra.Account{
		Slack: "U1", GitLab: ann, Expires: morning.Add(2 * time.Hour), ConnectedAt: w.now(), Notify: kovra.NotifyFailures, NotifySince: morning,
	}
	w.same("connected", want, w.account("U1"))
	of := func(id int64) kovra.Account {
		return get(w, func(tx *storage.Tx) (kovra.Account, error) { a, _, err := tx.AccountOf(id); return a, err })
	}
	w.same("by GitLab's id", want, of(ann.ID))
	w.same("of nobody", kovra.Account{}, of(99))
	w.same("not of those who are not connected", kovra.Account{}, of(0))
	w.connect("U0", anna, "b")
	w.update(func(tx *storage.Tx) error { return tx.SetNotify("U9", kovra.NotifyAll) })
	all := get(w, func(tx *storage.Tx) ([]kovra.Account, error) { return tx.Accounts() })
	if len(all) != 2 || all[0].Slack != "U0" || all[1].Slack != "U1" {
		w.t.Errorf("accounts %+v", all)
	}

	disconnect := func() bool { return put(w, func(tx *storage.Tx) (bool, error) { return tx.Disconnect("U1") }) }
	if !disconnect() || disconnect() {
		w.t.Error("disconnect reports a wrong thing")
	}
	w.same("disconnected: what they want to be told stays", kovra.Account{Slack: "U1", Notify: kovra.NotifyFailures, NotifySince: morning}, w.account("U1"))
	w.same("no tokens", "", w.tokens("U1"))
	w.same("no match", kovra.Match{GitLab: ann.ID}, w.match(ann.ID))
}

// testOneAccountOnePerson: a GitLab account is one person's, and a person has one.
func testOneAccountOnePerson(w *world) {
	w.connect("U1", ann, "a")
	w.connect("U2", ann, "b")
	w.same("the first has none", kovra.Account{Slack: "U1", Notify: kovra.NotifyOff}, w.account("U1"))
	w.same("no tokens either", "", w.tokens("U1"))
	w.same("the second has it", ann, w.account("U2").GitLab)
	w.same("with their own tokens", "b", w.tokens("U2"))
	w.same("and is told", "U2", w.match(ann.ID).Slack)

	w.connect("U2", anna, "c")
	w.same("another account", anna, w.account("U2").GitLab)
	w.same("its tokens", "c", w.tokens("U2"))
	w.same("nobody is the first account any more", kovra.Match{GitLab: ann.ID}, w.match(ann.ID))
	w.same("but the second", "U2", w.match(anna.ID).Slack)

	w.update(func(tx *storage.Tx) error { return tx.SetTokens("U1", pair("late")) })
	w.same("a late refresh gives nobody tokens", "", w.tokens("U1"))
	w.update(func(tx *storage.Tx) error { return tx.SetTokens("U2", pair("d")) })
	w.same("a refresh", "d", w.tokens("U2"))
}

// testTokens rotates the keys, and then loses them.
func testTokens(w *world) {
	w.connect("U1", ann, "a")
	w.connect("U2", anna, "b")
	w.update(func(tx *storage.Tx) error { _, err := tx.Disconnect("U2"); return err })
	again := func() int { return put(w, func(tx *storage.Tx) (int, error) { return tx.SealAgain() }) }
	w.same("nothing to do", 0, again())
	old, young := w.options.Key[0], slices.Repeat([]byte{0x5A}, 32)

	w.options.Key = [][]byte{young, old}
	w.reopen()
	w.same("readable with the old key", "a", w.tokens("U1"))
	w.same("sealed again", 1, again())
	w.same("once", 0, again())
	w.options.Key = [][]byte{young}
	w.reopen()
	w.same("readable without the old key", "a", w.tokens("U1"))

	w.options.Key = [][]byte{slices.Repeat([]byte{0x77}, 32)}
	w.reopen()
	w.same("a lost key", "", w.tokens("U1"))
	w.same("the account is still known", ann, w.account("U1").GitLab)
	w.same("what cannot be read is not sealed again", 0, again())
	w.connect("U1", ann, "c")
	w.same("connected anew", "c", w.tokens("U1"))
}

func testMatches(w *world) {
	w.same("nobody looked", kovra.Match{GitLab: 5}, w.match(5))
	none := kovra.Match{GitLab: 5, CheckedAt: w.now()}
	w.update(func(tx *storage.Tx) error { return tx.SaveMatch(none) })
	w.same("nobody is known", none, w.match(5))
	found := kovra.Match{GitLab: 5, Slack: "U5", How: "e-mail", CheckedAt: w.now().Add(time.Hour)}
	w.update(func(tx *storage.Tx) error { return tx.SaveMatch(found) })
	w.same("found", found, w.match(5))
	w.update(func(tx *storage.Tx) error { _, err := tx.Disconnect("U5"); return err })
	w.same("an e-mail says so also of somebody who is not connected", found, w.match(5))

	w.link("web", group, "C1")
	o := pipeline(5, kovra.Running)
	o.Run.By = kovra.GitLabUser{ID: 5, Username: "eve"}
	run := w.observe(o)
	w.settle()
	starter := func() string {
		v := get(w, func(tx *storage.Tx) (kovra.View, error) { return tx.RunView(run.ID, "web") })
		if !v.Matched {
			return "not known"
		}
		return v.Starter
	}
	w.same("nobody has looked for this pipeline", "not known", starter())
	w.update(func(tx *storage.Tx) error { return tx.Matched(run.ID) })
	w.same("looked", "U5", starter())
	w.same("shown anew", 1, len(w.dirty(kovra.RefThread)))
	w.update(func(tx *storage.Tx) error { return tx.SaveMatch(none) })
	w.update(func(tx *storage.Tx) error { return tx.Matched(run.ID) })
	w.same("who was mentioned stays so", "U5", starter())
}

// waiting proposes an action of a person and has it wait.
func (w *world) waiting(slackUser, lock string) kovra.Action {
	w.t.Helper()
	a := w.propose(kovra.Action{Kind: kovra.ActRetry, Lock: lock, By: kovra.Person{ID: slackUser, Name: slackUser}, ReplyURL: "https://reply.example/" + slackUser}, []byte("s3cret"))
	w.update(func(tx *storage.Tx) error { return tx.WaitAction(a.ID) })
	return w.action(a.ID)
}

func testWaits(w *world) {
	a := w.waiting("U1", "retry/1")
	other := w.waiting("U2", "retry/2")
	if a.State != kovra.ActionWaits || a.Open() {
		w.t.Errorf("got %s, open %t", a.State, a.Open())
	}
	w.same("looked at, so that it ends", []kovra.Ref{actionRef(a.ID), actionRef(other.ID)}, w.dirty(kovra.RefAction))
	w.notices()
	w.connect("U1", ann, "a")
	w.same("it goes on", kovra.ActionWanted, w.action(a.ID).State)
	w.same("its answer is late", true, w.action(a.ID).Late)
	w.same("told", [][]kovra.Ref{{actionRef(a.ID)}}, w.notices())
	w.same("others wait on", kovra.ActionWaits, w.action(other.ID).State)
	w.same("its secret is there", "s3cret", string(get(w, func(tx *storage.Tx) ([]byte, error) { return tx.Secret(a.ID) })))
	again := get(w, func(tx *storage.Tx) (string, error) { found, err := tx.Action(a.ID); return found.ReplyURL, err })
	w.same("and the way to answer", "https://reply.example/U1", again)

	tried := w.propose(kovra.Action{Kind: kovra.ActRetry, By: kovra.Person{ID: "U2"}}, nil)
	w.update(func(tx *storage.Tx) error { return tx.TryAction(tried.ID, kovra.Params{}) })
	w.update(func(tx *storage.Tx) error { return tx.WaitAction(tried.ID) })
	w.same("what was tried does not wait", kovra.ActionTried, w.action(tried.ID).State)
}

// testWaitsForThePlace: who waits holds nobody up, and is told who was first.
func testWaitsForThePlace(w *world) {
	late := w.waiting("U1", "retry/1")
	first := w.propose(kovra.Action{Kind: kovra.ActRetry, Lock: "retry/1", By: kovra.Person{ID: "U2", Name: "Bob"}}, nil)
	w.connect("U1", ann, "a")
	got := w.action(late.ID)
	if got.State != kovra.ActionFailed || got.Outcome.Kind != kovra.Conflict || got.Outcome.Reason != "It was done meanwhile, by Bob." {
		w.t.Errorf("got %s, %+v", got.State, got.Outcome)
	}
	w.same("the first goes on", kovra.ActionWanted, w.action(first.ID).State)

	both := []kovra.Action{w.waiting("U2", "retry/2"), w.waiting("U3", "retry/2")}
	w.connect("U3", anna, "b")
	w.connect("U2", kovra.GitLabUser{ID: 3}, "c")
	w.same("who connects first is first", kovra.ActionWanted, w.action(both[1].ID).State)
	w.same("the other one is not", kovra.ActionFailed, w.action(both[0].ID).State)
}

// testWaitsAgain: asking twice is asking once, and the newer way to answer counts.
func testWaitsAgain(w *world) {
	a := w.waiting("U1", "retry/1")
	ask := func(slackUser, reply string) (kovra.Action, bool) {
		var fresh bool
		got := put(w, func(tx *storage.Tx) (kovra.Action, error) {
			got, made, err := tx.Propose(kovra.Action{Kind: kovra.ActRetry, Lock: "retry/1", By: kovra.Person{ID: slackUser}, ReplyURL: reply}, nil)
			fresh = made
			return got, err
		})
		return got, fresh
	}
	again, mine := ask("U1", "https://reply.example/again")
	if again.ID != a.ID || !mine || again.State != kovra.ActionWaits || w.action(a.ID).ReplyURL != "https://reply.example/again" {
		w.t.Errorf("got %+v, %t", again, mine)
	}
	if _, mine = ask("U1", ""); !mine || w.action(a.ID).ReplyURL != "https://reply.example/again" {
		w.t.Error("who has no way to answer takes the one that there is away")
	}
	other, mine := ask("U2", "")
	if other.ID == a.ID || !mine || other.State != kovra.ActionWanted {
		w.t.Errorf("somebody else: got %+v, %t", other, mine)
	}
	third, mine := ask("U1", "")
	if third.ID != other.ID || mine {
		w.t.Errorf("the lock is held: got %d, %t", third.ID, mine)
	}
}

// testWaitsForTheLast: of what was asked for again and again the last counts, although each has a lock of its own.
func testWaitsForTheLast(w *world) {
	n := 0
	ask := func(kind kovra.ActionKind, app, variable string) int64 {
		w.t.Helper()
		w.pass(time.Minute)
		n++
		a := w.propose(kovra.Action{
			Kind: kind, App: app, Lock: "slack/" + strconv.Itoa(n), By: kovra.Person{ID: "U1"},
			Params: kovra.Params{Ref: "main", Variables: []string{variable}},
		}, []byte(variable))
		w.update(func(tx *storage.Tx) error { return tx.WaitAction(a.ID) })
		return a.ID
	}
	staging, api, build := ask(kovra.ActRun, "web", "STAGING"), ask(kovra.ActRun, "api", "X"), ask(kovra.ActBuild, "web", "X")
	prod := ask(kovra.ActRun, "web", "PROD")
	w.connect("U1", ann, "a")
	got := w.action(staging)
	if got.State != kovra.ActionFailed || got.Outcome.Kind != kovra.Conflict || got.Outcome.Reason != "You asked for this again later." {
		w.t.Errorf("got %s, %+v", got.State, got.Outcome)
	}
	secret := get(w, func(tx *storage.Tx) ([]byte, error) { return tx.Secret(staging) })
	w.same("its values are wiped", "", string(secret))
	for _, id := range []int64{api, build, prod} {
		w.same("it goes on", kovra.ActionWanted, w.action(id).State)
	}
	w.same("and has its values", "PROD", string(get(w, func(tx *storage.Tx) ([]byte, error) { return tx.Secret(prod) })))
}

// testWaitsAnew: the time of an action begins when its person is asked to connect, when it was asked for last, and when it goes on. What was asked for again is newer
// than what was asked for in between.
func testWaitsAnew(w *world) {
	choose := kovra.Action{Kind: kovra.ActRun, App: "web", Lock: "choose/1", By: kovra.Person{ID: "U1"}}
	first := w.propose(choose, nil)
	w.pass(5 * time.Minute)
	w.update(func(tx *storage.Tx) error { return tx.WaitAction(first.ID) })
	w.same("it waits since now", true, w.action(first.ID).CreatedAt.Equal(w.now()))
	w.pass(5 * time.Minute)
	typed := choose
	typed.Lock = "slack/1"
	second := w.propose(typed, nil)
	w.update(func(tx *storage.Tx) error { return tx.WaitAction(second.ID) })
	w.pass(5 * time.Minute)
	again := w.propose(choose, nil)
	if again.ID != first.ID || !again.CreatedAt.Equal(w.now()) || !w.action(first.ID).CreatedAt.Equal(w.now()) {
		w.t.Errorf("asked again: %+v, now it is %v", again, w.now())
	}
	w.pass(5 * time.Minute)
	w.connect("U1", ann, "a")
	got := w.action(first.ID)
	if got.State != kovra.ActionWanted || !got.CreatedAt.Equal(w.now()) {
		w.t.Errorf("connected: %s since %v, now it is %v", got.State, got.CreatedAt, w.now())
	}
	w.same("asked for in between", kovra.ActionFailed, w.action(second.ID).State)
}

func testPromptOnce(w *world) {
	a := w.waiting("U1", "retry/1")
	claim := func() bool { return put(w, func(tx *storage.Tx) (bool, error) { return tx.ClaimPrompt(a.ID) }) }
	w.same("not at once: the request itself may ask", []kovra.Ref(nil), w.dirty(kovra.RefAnswer))
	w.pass(time.Minute)
	w.same("nobody asked", []kovra.Ref{answerRef(a.ID)}, w.dirty(kovra.RefAnswer))
	if !claim() || claim() {
		w.t.Error("the prompt was not claimed exactly once")
	}
	w.same("asked", []kovra.Ref(nil), w.dirty(kovra.RefAnswer))
	w.same("the answer will be late", true, w.action(a.ID).Late)
	w.connect("U1", ann, "a")
	if claim() {
		w.t.Error("nothing waits any more")
	}
	w.update(func(tx *storage.Tx) error { return tx.WaitAction(a.ID) })
	if !claim() {
		w.t.Error("an account was lost: it is asked for again")
	}
}

func testAsked(w *world) {
	asked := func(lock string) bool {
		return get(w, func(tx *storage.Tx) (bool, error) { return tx.Asked(lock) })
	}
	w.same("never", false, asked("note/7/1"))
	a := w.propose(kovra.Action{Kind: kovra.ActHelp, Lock: "note/7/1"}, nil)
	w.same("wanted", true, asked("note/7/1"))
	w.finish(a.ID, kovra.ActionFailed, kovra.Outcome{})
	w.same("failed", true, asked("note/7/1"))
	w.propose(kovra.Action{Kind: kovra.ActHelp}, nil)
	w.same("no lock", false, asked(""))
}

// testHeeded: a message was heeded as long as what it asked for has not failed.
func testHeeded(w *world) {
	heeded := func(message string) bool {
		return get(w, func(tx *storage.Tx) (bool, error) { return tx.Heeded(message) })
	}
	ask := func(message, ref string) int64 {
		return w.propose(kovra.Action{Kind: kovra.ActRun, Channel: "C9", Params: kovra.Params{Message: message, Ref: ref}}, nil).ID
	}
	ask("", "main")
	ask("C1/17.25", `"message":"C1/17.3"`)
	a := ask("C1/17.2", "main")
	w.same("wanted", true, heeded("C1/17.2"))
	w.same("another one", true, heeded("C1/17.25"))
	for _, never := range []string{"", "C1/17.3", "C2/17.2", "C1/17.%", "C1/17"} {
		w.same("never: "+never, false, heeded(never))
	}
	w.update(func(tx *storage.Tx) error { return tx.WaitAction(a) })
	w.same("it waits", true, heeded("C1/17.2"))
	w.finish(a, kovra.ActionFailed, kovra.Outcome{})
	w.same("failed", false, heeded("C1/17.2"))
	w.finish(ask("C1/17.2", "main"), kovra.ActionDone, kovra.Outcome{})
	w.same("done", true, heeded("C1/17.2"))
}

// testOwnThreads: who wants to hear of their own pipelines does, from then on.
func testOwnThreads(w *world) {
	w.link("web", group, "C1")
	w.connect("U1", ann, "a")
	own := func(remote int64, status kovra.Status, created time.Time) (out []string) {
		o := pipeline(remote, status)
		o.Run.By, o.Run.CreatedAt = ann, created
		for _, t := range w.threads(w.observe(o).ID) {
			out = append(out, t.Channel+" "+string(t.Broadcast))
		}
		return out
	}
	w.same("off", []string{"C1 on"}, own(5, kovra.Failed, w.now()))
	w.pass(time.Minute)
	w.update(func(tx *storage.Tx) error { return tx.SetNotify("U1", kovra.NotifyFailures) })
	w.same("from before", []string{"C1 on"}, own(6, kovra.Failed, w.now().Add(-time.Second)))
	w.same("it runs", []string{"C1 on"}, own(7, kovra.Running, w.now()))
	w.same("it fails", []string{"@U1 off", "C1 on"}, own(7, kovra.Failed, w.now()))
	w.update(func(tx *storage.Tx) error { return tx.SetNotify("U1", kovra.NotifyAll) })
	w.same("all", []string{"@U1 off", "C1 on"}, own(8, kovra.Running, w.now()))
	child := childOf(8, 9, kovra.Failed)
	child.Run.By, child.Run.CreatedAt = ann, w.now()
	w.same("no child", 0, len(w.threads(w.observe(child).ID)))
	w.update(func(tx *storage.Tx) error { _, err := tx.Disconnect("U1"); return err })
	w.same("nobody knows who they are", []string{"C1 on"}, own(10, kovra.Running, w.now()))
	w.update(func(tx *storage.Tx) error { _, err := tx.DeleteSubscriptions("web", "C1", 0); return err })
	w.same("no channel hears of the project", []string(nil), own(11, kovra.Running, w.now()))
}

func testWatch(w *world) {
	w.link("web", group, "C1")
	run := w.observe(pipeline(5, kovra.Running))
	build := put(w, func(tx *storage.Tx) (kovra.Build, error) {
		b, _, err := tx.AddBuild(kovra.NewBuild(kovra.DefaultBuildSettings("web"), group, "main", false, kovra.Commit{SHA: "c1"}), "", false)
		return b, err
	})
	w.settle()
	watch := func() (made []bool) {
		w.update(func(tx *storage.Tx) error {
			r, err := tx.WatchRun(run.ID, "web", "U1")
			b, failed := tx.WatchBuild(build.ID, "web", "U1")
			made = []bool{r, b}
			return errors.Join(err, failed)
		})
		return made
	}
	w.same("new", []bool{true, true}, watch())
	w.same("again", []bool{false, false}, watch())
	of := w.threads(run.ID)
	if len(of) != 2 || of[0].Channel != "@U1" || of[0].Broadcast != kovra.BroadcastOff {
		w.t.Errorf("threads %+v", of)
	}
	if person, ok := of[0].Person(); !ok || person != "U1" {
		w.t.Errorf("person %q, %t", person, ok)
	}
	if _, ok := of[1].Person(); ok {
		w.t.Error("a channel is a person")
	}
	builds := get(w, func(tx *storage.Tx) ([]kovra.Thread, error) { return tx.ThreadsOfBuild(build.ID) })
	if len(builds) != 2 || builds[0].Channel != "@U1" {
		w.t.Errorf("threads of the build %+v", builds)
	}
	dirty := w.dirty(kovra.RefThread)
	if !slices.Contains(dirty, threadRef(of[0].ID)) || !slices.Contains(dirty, threadRef(builds[0].ID)) {
		w.t.Errorf("to be shown: %v", dirty)
	}
}

// testHomes: what somebody looks at is shown, and shown anew while they look.
func testHomes(w *world) {
	w.link("web", group, "C1")
	w.link("api", 8)
	home := func() kovra.Home {
		return get(w, func(tx *storage.Tx) (kovra.Home, error) { return tx.HomeOf("U1") })
	}
	w.same("nobody looked yet", kovra.Home{User: "U1", Tab: kovra.HomePipelines}, home())
	look := func(h kovra.Home) {
		w.update(func(tx *storage.Tx) error { return tx.LookAtHome(h) })
	}
	want := kovra.Home{User: "U1", Team: "T1", App: "web", Tab: kovra.HomeBuilds, Ref: "main", Before: 9, Action: 4}
	look(want)
	want.ID, want.SeenAt, want.Version = home().ID, w.now(), 1
	w.same("looked", want, home())
	w.same("by id", want, get(w, func(tx *storage.Tx) (kovra.Home, error) { return tx.Home(want.ID) }))
	ref := []kovra.Ref{{Kind: kovra.RefHome, ID: want.ID}}
	w.same("to be shown", ref, w.dirty(kovra.RefHome))

	shown := func(version int64) {
		w.update(func(tx *storage.Tx) error { return tx.SetHomeShown(want.ID, version, "h1", "d1") })
	}
	shown(1)
	w.same("shown", []kovra.Ref(nil), w.dirty(kovra.RefHome))
	w.notices()
	w.observe(pipeline(5, kovra.Running))
	w.same("its app has news", ref, w.dirty(kovra.RefHome))
	if heard := w.notices(); len(heard) != 1 || !slices.Contains(heard[0], ref[0]) {
		w.t.Errorf("told %v", heard)
	}
	shown(2)
	elsewhere := pipeline(6, kovra.Running)
	elsewhere.Run.Project = 8
	w.observe(elsewhere)
	w.same("another app has news", []kovra.Ref(nil), w.dirty(kovra.RefHome))

	look(kovra.Home{User: "U1", App: "api"})
	shown(2)
	w.same("what was chosen meanwhile is shown", ref, w.dirty(kovra.RefHome))
	if got := home(); got.App != "api" || got.Hash != "h1" || got.Digest != "d1" || got.ShownVersion != 2 {
		w.t.Errorf("got %+v", got)
	}
	shown(3)
	w.pass(time.Hour)
	w.observe(pipeline(7, kovra.Running))
	elsewhere.Run.Remote = 8
	w.observe(elsewhere)
	w.same("nobody looks any more", []kovra.Ref(nil), w.dirty(kovra.RefHome))
}
