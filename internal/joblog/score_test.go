package joblog

import (
	"fmt"
	"slices"
	"testing"
)

// Scores that must be reached, in percent of the logs of a set.
const (
	tunedScore     = 95
	untouchedScore = 85
	medianLines    = 20
)

// TestScores counts the logs that are explained: in both formats all lines are shown
// that must be, and none that must not. The tuned set helped to build the knowledge.
// Of the untouched set nobody has read more than the scores, so this says no more either.
func TestScores(t *testing.T) {
	tuned, untouched := logCases(t), logSet(t, "untouched")
	score(t, "tuned", tuned, tunedScore, func(c logCase, missed []string) {
		for _, m := range missed {
			t.Logf("  %s: %s", c.name, m)
		}
	})
	if len(tuned) > 2*len(untouched) {
		t.Errorf("%d tuned logs and %d untouched ones: a third is untouched", len(tuned), len(untouched))
	}
	score(t, "untouched", untouched, untouchedScore, func(logCase, []string) {})
}

func score(t *testing.T, set string, logs []logCase, least int, report func(logCase, []string)) {
	t.Helper()
	passed := 0
	var sizes []int
	for _, c := range logs {
		var missed []string
		for _, f := range formatsOf(c) {
			e := cut(t, f.trace, Options{})
			sizes = append(sizes, len(e.Lines))
			for _, m := range complaints(c, e) {
				missed = append(missed, f.name+": "+m)
			}
		}
		if len(missed) == 0 {
			passed++
			continue
		}
		report(c, missed)
	}
	slices.Sort(sizes)
	median := sizes[len(sizes)/2]
	said := fmt.Sprintf("%s: %d of %d logs explained (%.0f %%), median %d lines, at most %d",
		set, passed, len(logs), float64(100*passed)/float64(len(logs)), median, sizes[len(sizes)-1])
	t.Log(said)
	if passed*100 < least*len(logs) || median > medianLines {
		t.Errorf("%s; want at least %d %% and a median of at most %d lines", said, least, medianLines)
	}
}
