package storage

import (
	"time"

	"kovra.dev/chatops/internal/kovra"
)

const subjectColumns = "id, project, kind, key, version, doc"

func scanSubject(s scanner) (kovra.Subject, error) {
	var v, ids kovra.Subject
	var doc string
	if err := s.Scan(&ids.ID, &ids.Project, &ids.Kind, &ids.Key, &ids.Version, &doc); err != nil {
		return v, err
	}
	err := decode(doc, &v)
	v.ID, v.Project, v.Kind, v.Key, v.Version = ids.ID, ids.Project, ids.Kind, ids.Key, ids.Version
	return v, err
}

// Subject returns one by our id.
func (tx *Tx) Subject(id int64) (kovra.Subject, error) {
	s, err := scanSubject(tx.row("SELECT "+subjectColumns+" FROM subjects WHERE id = ?", id))
	return s, found(err, "There is no subject %d.", id)
}

// SubjectByKey returns one by what GitLab calls it.
func (tx *Tx) SubjectByKey(project int64, kind kovra.SubjectKind, key string) (kovra.Subject, error) {
	s, err := scanSubject(tx.row("SELECT "+subjectColumns+" FROM subjects WHERE project = ? AND kind = ? AND key = ?", project, string(kind), key))
	return s, found(err, "There is no %s %s.", kind, key)
}

// ObserveSubject folds what a webhook told of a subject, and gives it a message in every channel that wants one.
// Of what no channel wants nothing is kept.
func (tx *Tx) ObserveSubject(n kovra.Subject) (kovra.SubjectTaken, error) {
	var taken kovra.SubjectTaken
	s, err := tx.SubjectByKey(n.Project, n.Kind, n.Key)
	fresh := kovra.KindOf(err) == kovra.NotFound
	if err != nil && !fresh {
		return taken, err
	}
	subs, err := tx.Subscriptions(SubscriptionQuery{Project: n.Project})
	if err != nil {
		return taken, err
	}
	if fresh {
		if !hears(subs, n.Kind.Topic()) {
			return taken, nil
		}
		s = kovra.Subject{Project: n.Project, Kind: n.Kind, Key: n.Key}
	}
	taken.Heard = true
	was, err := encode(s)
	if err != nil {
		return taken, err
	}
	s.Observe(n)
	now, err := encode(s)
	if err != nil || now == was && !fresh {
		return taken, err
	}
	s.ID, err = tx.int(`INSERT INTO subjects (project, kind, key, version, at, doc) VALUES (?, ?, ?, 1, ?, ?)
		ON CONFLICT (project, kind, key) DO UPDATE SET version = version + 1, at = excluded.at, doc = excluded.doc RETURNING id`,
		s.Project, string(s.Kind), s.Key, stamp(tx.now), now)
	if err != nil {
		return taken, err
	}
	for _, w := range kovra.Wishes(subs, func(sub kovra.Subscription) bool { return sub.WantsSubject(&s) }) {
		if _, err := tx.makeThread(kovra.Thread{Subject: s.ID}, w); err != nil {
			return taken, err
		}
	}
	taken.Changed = true
	return taken, tx.bumpSubjectThreads(s.ID)
}

func hears(subs []kovra.Subscription, t kovra.Topic) bool {
	for _, s := range subs {
		if s.Filter.Has(t) {
			return true
		}
	}
	return false
}

func (tx *Tx) bumpSubjectThreads(subject int64) error {
	ids, err := list(tx, scanID, "UPDATE threads SET version = version + 1 WHERE subject = ? AND subject <> 0 RETURNING id", subject)
	for _, id := range ids {
		tx.touch(kovra.RefThread, id)
	}
	return err
}

// SubjectView returns what a thread shows of a subject.
func (tx *Tx) SubjectView(id int64, app string) (kovra.View, error) {
	s, err := tx.Subject(id)
	if err != nil {
		return kovra.View{}, err
	}
	v, err := tx.emptyView(app, s.Project)
	v.Subject = &s
	return v, err
}

// PruneSubjects forgets, with their threads, subjects of which nothing was told since before.
func (tx *Tx) PruneSubjects(before time.Time) (int64, error) {
	for _, q := range []string{
		"DELETE FROM slots WHERE thread IN (SELECT id FROM threads WHERE subject <> 0 AND subject IN (SELECT id FROM subjects WHERE at < ?))",
		"DELETE FROM threads WHERE subject <> 0 AND subject IN (SELECT id FROM subjects WHERE at < ?)",
	} {
		if _, err := tx.exec(q, stamp(before)); err != nil {
			return 0, err
		}
	}
	res, err := tx.exec("DELETE FROM subjects WHERE at < ?", stamp(before))
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
