package storage

import (
	"cmp"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strconv"

	"kovra.dev/chatops/internal/kovra"
)

const actionColumns = `id, kind, app, run, build, job, channel, lock, state, late, answered, created_at, tried_at, finished_at, doc, reply_url`

// actionDoc is the part of an action that SQL never asks for.
type actionDoc struct {
	By      kovra.Person  `json:"by"`
	Params  kovra.Params  `json:"params"`
	Outcome kovra.Outcome `json:"outcome"`
}

func (tx *Tx) scanAction(s scanner) (kovra.Action, error) {
	var a kovra.Action
	var d actionDoc
	var doc string
	var sealed []byte
	var late, answered, created, tried, finished int64
	err := s.Scan(&a.ID, &a.Kind, &a.App, &a.Run, &a.Build, &a.Job, &a.Channel, &a.Lock, &a.State,
		&late, &answered, &created, &tried, &finished, &doc, &sealed)
	if err != nil {
		return a, err
	}
	if err := decode(doc, &d); err != nil {
		return a, err
	}
	// A reply address sealed with a lost key is no reason to lose the action.
	url, _ := tx.db.sealer.Load().open("reply", sealed)
	a.By, a.Params, a.Outcome, a.ReplyURL = d.By, d.Params, d.Outcome, string(url)
	a.Late, a.Answered = late != 0, answered != 0
	a.CreatedAt, a.TriedAt, a.FinishedAt = unstamp(created), unstamp(tried), unstamp(finished)
	return a, nil
}

// Propose records what a person asks for. If another action with the same lock
// exists that has not failed, nothing is recorded, and that one is returned with
// false: the first click wins. An action that waits for its person to connect holds no lock, but the same person
// asking for the same again is given it back, with true. secret is kept encrypted until the action ends.
func (tx *Tx) Propose(a kovra.Action, secret []byte) (kovra.Action, bool, error) {
	if a.Lock != "" {
		first, taken, err := tx.lockedBy(a.Lock)
		if taken || err != nil {
			return first, false, err
		}
		again, waits, err := tx.waiting(a)
		if waits || err != nil {
			return again, true, err
		}
	}
	doc, err := encode(actionDoc{By: a.By, Params: a.Params, Outcome: a.Outcome})
	if err != nil {
		return a, false, err
	}
	var reply []byte
	if a.ReplyURL != "" {
		if reply, err = tx.db.sealer.Load().seal("reply", []byte(a.ReplyURL)); err != nil {
			return a, false, err
		}
	}
	a.State, a.CreatedAt = kovra.ActionWanted, tx.now
	err = tx.row(`INSERT INTO actions (kind, app, run, build, job, channel, lock, state, created_at, doc, reply_url, person)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		string(a.Kind), a.App, a.Run, a.Build, a.Job, a.Channel, a.Lock, string(a.State), stamp(a.CreatedAt), doc, reply, personKey(a.By)).Scan(&a.ID)
	if err != nil {
		return a, false, err
	}
	if secret != nil {
		sealed, err := tx.db.sealer.Load().seal(secretUse(a.ID), secret)
		if err != nil {
			return a, false, err
		}
		if _, err := tx.exec("UPDATE actions SET secret = ? WHERE id = ?", sealed, a.ID); err != nil {
			return a, false, err
		}
	}
	tx.touch(kovra.RefAction, a.ID)
	return a, true, nil
}

// Asked reports whether an action with that lock was ever proposed, however it ended: what is told twice by a peer is asked once.
func (tx *Tx) Asked(lock string) (bool, error) {
	n, err := tx.int("SELECT 1 FROM actions WHERE lock = ? AND lock <> '' LIMIT 1", lock)
	return n != 0, err
}

// newestActions is how many actions are looked through for what was said in a message a while ago.
const newestActions = 5000

// Heeded reports whether something was asked for in a message, and has not failed. It knows the newest actions alone.
func (tx *Tx) Heeded(message string) (bool, error) {
	if message == "" {
		return false, nil
	}
	// Most have another text: they are not decoded.
	said, err := list(tx, tx.scanAction, "SELECT "+actionColumns+` FROM actions
		WHERE id > (SELECT coalesce(max(id), 0) FROM actions) - ? AND state <> 'failed' AND doc LIKE '%"message":"' || ? || '"%' ORDER BY id`, newestActions, message)
	return slices.ContainsFunc(said, func(a kovra.Action) bool { return a.Params.Message == message }), err
}

// lockedBy returns the action that holds a lock.
func (tx *Tx) lockedBy(lock string) (kovra.Action, bool, error) {
	a, err := tx.scanAction(tx.row("SELECT "+actionColumns+" FROM actions WHERE lock = ? AND lock <> '' AND state <> 'failed' AND state <> 'waits'", lock))
	if errors.Is(err, sql.ErrNoRows) {
		return a, false, nil
	}
	return a, err == nil, err
}

// waiting returns what the same person has asked for before, and what still waits for them to connect. It carries the
// new way to answer, and waits as long as if it had been asked for now alone.
func (tx *Tx) waiting(a kovra.Action) (kovra.Action, bool, error) {
	w, err := tx.scanAction(tx.row("SELECT "+actionColumns+" FROM actions WHERE person = ? AND lock = ? AND person <> '' AND state = 'waits' ORDER BY id DESC LIMIT 1",
		a.By.ID, a.Lock))
	if errors.Is(err, sql.ErrNoRows) {
		return w, false, nil
	}
	if err != nil {
		return w, false, err
	}
	w.CreatedAt = tx.now
	if _, err := tx.exec("UPDATE actions SET created_at = ? WHERE id = ?", stamp(w.CreatedAt), w.ID); err != nil || a.ReplyURL == "" {
		return w, err == nil, err
	}
	reply, err := tx.db.sealer.Load().seal("reply", []byte(a.ReplyURL))
	if err != nil {
		return w, false, err
	}
	w.ReplyURL = a.ReplyURL
	_, err = tx.exec("UPDATE actions SET reply_url = ? WHERE id = ?", reply, w.ID)
	return w, true, err
}

// WaitAction has an action wait for its person to connect their GitLab account. Its lock is free until then, and
// the person is asked to, once. It waits as long as that says, however long it was tried before.
func (tx *Tx) WaitAction(id int64) error {
	_, err := tx.exec("UPDATE actions SET state = 'waits', prompted = 0, created_at = ? WHERE id = ? AND state = 'wanted'", stamp(tx.now), id)
	if err != nil {
		return err
	}
	tx.touch(kovra.RefAction, id)
	tx.touch(kovra.RefAnswer, id)
	a, err := tx.Action(id)
	if err != nil {
		return err
	}
	return tx.bumpHomeOf(a)
}

// resumeActions has the actions go on that waited for a person. One that the person has asked for again since, in another
// way, fails, and so does one whose place was taken meanwhile.
func (tx *Tx) resumeActions(slackUser string) error {
	waiting, err := list(tx, tx.scanAction, "SELECT "+actionColumns+" FROM actions WHERE person = ? AND person <> '' AND state = 'waits' ORDER BY id", slackUser)
	if err != nil {
		return err
	}
	slices.SortStableFunc(waiting, func(a, b kovra.Action) int { return a.CreatedAt.Compare(b.CreatedAt) })
	for i, a := range waiting {
		if slices.ContainsFunc(waiting[i+1:], func(later kovra.Action) bool { return later.Supersedes(a) }) {
			out := kovra.Outcome{Kind: kovra.Conflict, Reason: "You asked for this again later."}
			err = tx.FinishAction(a.ID, kovra.ActionFailed, out)
		} else {
			err = tx.resume(a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resume has one action go on. Its time begins anew: what was spent on waiting is no failure to do it.
func (tx *Tx) resume(a kovra.Action) error {
	first, taken, err := tx.lockedBy(a.Lock)
	if err != nil {
		return err
	}
	if taken && a.Lock != "" {
		out := kovra.Outcome{Kind: kovra.Conflict, Reason: "It was done meanwhile, by " + cmp.Or(first.By.Name, "somebody else") + "."}
		return tx.FinishAction(a.ID, kovra.ActionFailed, out)
	}
	if _, err := tx.exec("UPDATE actions SET state = 'wanted', late = 1, created_at = ? WHERE id = ?", stamp(tx.now), a.ID); err != nil {
		return err
	}
	tx.touch(kovra.RefAction, a.ID)
	return tx.bumpHomeOf(a)
}

// ClaimPrompt reports true to exactly one caller: the one who asks the person to connect.
func (tx *Tx) ClaimPrompt(id int64) (bool, error) {
	res, err := tx.exec("UPDATE actions SET prompted = 1, late = 1 WHERE id = ? AND state = 'waits' AND prompted = 0", id)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

func secretUse(action int64) string { return "action/" + strconv.FormatInt(action, 10) }

// Action returns one by id.
func (tx *Tx) Action(id int64) (kovra.Action, error) {
	a, err := tx.scanAction(tx.row("SELECT "+actionColumns+" FROM actions WHERE id = ?", id))
	return a, found(err, "There is no action %d.", id)
}

// Secret returns what was kept with the action; nil when there was nothing, or it was wiped.
func (tx *Tx) Secret(action int64) ([]byte, error) {
	var sealed []byte
	if err := tx.row("SELECT secret FROM actions WHERE id = ?", action).Scan(&sealed); err != nil {
		return nil, found(err, "There is no action %d.", action)
	}
	return tx.db.sealer.Load().open(secretUse(action), sealed)
}

// TryAction records, before it is started, that the effect of an action is started.
func (tx *Tx) TryAction(id int64, p kovra.Params) error {
	a, err := tx.Action(id)
	if err != nil {
		return err
	}
	doc, err := encode(actionDoc{By: a.By, Params: p, Outcome: a.Outcome})
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE actions SET state = ?, tried_at = ?, doc = ? WHERE id = ?", string(kovra.ActionTried), stamp(tx.now), doc, id)
	return err
}

// FinishAction records the end of an action and wipes its secret.
func (tx *Tx) FinishAction(id int64, state kovra.ActionState, out kovra.Outcome) error {
	a, err := tx.Action(id)
	if err != nil {
		return err
	}
	doc, err := encode(actionDoc{By: a.By, Params: a.Params, Outcome: out})
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE actions SET state = ?, finished_at = ?, doc = ?, secret = NULL, run = ?, build = ? WHERE id = ?",
		string(state), stamp(tx.now), doc, max(a.Run, out.Run), cmp.Or(a.Build, out.Build), id)
	if err != nil {
		return err
	}
	tx.touch(kovra.RefAction, id)
	tx.touch(kovra.RefAnswer, id)
	if err := errors.Join(tx.bumpHomeOf(a), tx.wakeOperators(a)); err != nil {
		return err
	}
	if build := cmp.Or(a.Build, out.Build); build != 0 {
		if err := tx.bumpBuildThreads(build); err != nil && kovra.KindOf(err) != kovra.NotFound {
			return err
		}
	}
	run := max(a.Run, out.Run)
	if run == 0 {
		return nil
	}
	r, err := tx.Run(run)
	if kovra.KindOf(err) == kovra.NotFound { // what it was about was forgotten meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	return tx.bump(r)
}

// OpenActions returns the actions of a kind that have not ended, oldest first.
func (tx *Tx) OpenActions(kind kovra.ActionKind) ([]kovra.Action, error) {
	return list(tx, tx.scanAction, "SELECT "+actionColumns+" FROM actions WHERE (state = 'wanted' OR state = 'tried') AND kind = ? ORDER BY id", string(kind))
}

// ActionQuery selects actions, newest first. Zero fields select all.
type ActionQuery struct {
	App    string
	Run    int64
	Build  int64
	Before int64 // an id
	Limit  int
}

// Actions returns what the query selects. It reads little more than that, however many are stored.
func (tx *Tx) Actions(q ActionQuery) ([]kovra.Action, error) {
	query, args := "SELECT "+actionColumns+" FROM actions WHERE id < ?", []any{cmp.Or(q.Before, math.MaxInt64)}
	if q.App != "" {
		query, args = query+" AND app = ?", append(args, q.App)
	}
	if q.Run != 0 {
		query, args = query+" AND run = ? AND run <> 0", append(args, q.Run)
	}
	if q.Build != 0 {
		query, args = query+" AND build = ? AND build <> 0", append(args, q.Build)
	}
	return list(tx, tx.scanAction, query+" ORDER BY id DESC LIMIT ?", append(args, q.Limit)...)
}

// MarkLate says that nobody waits for the answer inside a request any more.
func (tx *Tx) MarkLate(id int64) error {
	_, err := tx.exec("UPDATE actions SET late = 1 WHERE id = ?", id)
	tx.touch(kovra.RefAnswer, id)
	return err
}

// ClaimAnswer reports true to exactly one caller: the one who sends the answer. The
// reply address is forgotten with it.
func (tx *Tx) ClaimAnswer(id int64) (bool, error) {
	res, err := tx.exec("UPDATE actions SET answered = 1, reply_url = NULL WHERE id = ? AND answered = 0", id)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// UntryAction records that the effect was certainly not started after all.
func (tx *Tx) UntryAction(id int64) error {
	_, err := tx.exec("UPDATE actions SET state = ? WHERE id = ? AND state = ?", string(kovra.ActionWanted), id, string(kovra.ActionTried))
	return err
}
