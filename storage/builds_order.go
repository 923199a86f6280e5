package storage

import (
	"cmp"

	"kovra.dev/chatops/internal/kovra"
)

// mostPushes bounds how many builds of a branch are looked through for the order of pushes.
const mostPushes = 200

// PushedAfter reports whether what a builds is newer than what b builds, both of one app. Pushes may come to us in any
// order: of builds of one branch that are linked by the pushes between them, these decide; of others
// the one that was asked for later is newer. A build that repeats another is as old as that one.
func (tx *Tx) PushedAfter(a, b kovra.Build) (bool, error) {
	was, err := tx.origin(a)
	if err != nil {
		return false, err
	}
	other, err := tx.origin(b)
	switch {
	case err != nil:
		return false, err
	case was.Spec.Commit == other.Spec.Commit:
		return a.ID > b.ID, nil
	case was.Spec.Branch != other.Spec.Branch || was.Spec.Tag != other.Spec.Tag:
		return was.ID > other.ID, nil
	}
	builds, err := list(tx, tx.scanBuild, "SELECT "+buildColumns+" FROM builds WHERE app = ? ORDER BY id DESC LIMIT ?", a.App, mostPushes)
	if err != nil {
		return false, err
	}
	before := map[string]string{was.Spec.Commit: was.Before, other.Spec.Commit: other.Before}
	for _, o := range builds {
		if o.Spec.Branch == was.Spec.Branch && o.Before != "" {
			before[o.Spec.Commit] = cmp.Or(before[o.Spec.Commit], o.Before)
		}
	}
	switch {
	case leadsTo(before, was.Spec.Commit, other.Spec.Commit):
		return true, nil
	case leadsTo(before, other.Spec.Commit, was.Spec.Commit):
		return false, nil
	}
	return was.ID > other.ID, nil
}

// leadsTo reports whether the pushes before that of one commit lead back to another. Branches can be set
// back, so they may go in a circle.
func leadsTo(before map[string]string, from, to string) bool {
	for range len(before) {
		from = before[from]
		if from == to {
			return true
		}
	}
	return false
}

// origin is the first build of those that repeat one another.
func (tx *Tx) origin(b kovra.Build) (kovra.Build, error) {
	for range mostPushes {
		if b.Of == 0 || b.Of >= b.ID {
			break
		}
		of, err := tx.Build(b.Of)
		if kovra.KindOf(err) == kovra.NotFound {
			break
		}
		if err != nil {
			return b, err
		}
		b = of
	}
	return b, nil
}
