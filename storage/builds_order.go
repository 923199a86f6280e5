package storage

import "kovra.dev/chatops/internal/kovra"

// mostRepeats bounds how often a build is taken to repeat one that repeats one.
const mostRepeats = 100

// PushedAfter reports whether what a builds is newer than what b builds, both of one app. Pushes may be told in any
// order: where it is known how the branch moved that decides, else the number. A build that repeats
// another is as old as that one.
func (tx *Tx) PushedAfter(a, b kovra.Build) (bool, error) {
	one, err := tx.origin(a)
	if err != nil {
		return false, err
	}
	other, err := tx.origin(b)
	if err != nil {
		return false, err
	}
	ref := refOf(one.Spec.Branch, one.Spec.Tag)
	switch {
	case one.Spec.Commit == other.Spec.Commit:
		return a.ID > b.ID, nil
	case ref != refOf(other.Spec.Branch, other.Spec.Tag):
		return one.ID > other.ID, nil
	}
	before := map[string][]string{}
	err = tx.each(func(s scanner) error {
		var from, to string
		err := s.Scan(&from, &to)
		before[to] = append(before[to], from)
		return err
	}, "SELECT before, after FROM build_moves WHERE app = ? AND ref = ?", a.App, ref)
	if err != nil {
		return false, err
	}
	after := leadsTo(before, one.Spec.Commit, other.Spec.Commit)
	if after == leadsTo(before, other.Spec.Commit, one.Spec.Commit) { // nothing is known, or the branch was set back
		after = one.ID > other.ID
	}
	return after, nil
}

// leadsTo reports whether the moves before one commit lead back to another.
func leadsTo(before map[string][]string, from, to string) bool {
	seen := map[string]bool{"": true}
	for next := []string{from}; len(next) > 0; {
		c := next[0]
		next = next[1:]
		if seen[c] {
			continue
		}
		seen[c] = true
		if c == to {
			return true
		}
		next = append(next, before[c]...)
	}
	return false
}

// origin is the first build of those that repeat one another.
func (tx *Tx) origin(b kovra.Build) (kovra.Build, error) {
	for range mostRepeats {
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
