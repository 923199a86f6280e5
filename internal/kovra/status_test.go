package kovra

import "testing"

// every is every word that GitLab has, in the order of progress.
var every = []Status{
	Created, WaitingForCallback, Preparing, Manual, Scheduled, WaitingForResource, Pending, Running, Canceling,
	Success, Failed, Canceled, Skipped,
}

// The table of PRODUCT.md section 4, and what may be done in each state.
func TestStatusWords(t *testing.T) {
	for _, c := range []struct {
		word                           Status
		shown                          Shown
		exact                          string
		final, active, cancel, retried bool
	}{
		{word: Created, shown: ShownPending, cancel: true},
		{word: WaitingForResource, shown: ShownPending, exact: "waiting_for_resource", active: true, cancel: true},
		{word: WaitingForCallback, shown: ShownPending, exact: "waiting_for_callback", active: true, cancel: true},
		{word: Preparing, shown: ShownPending, exact: "preparing", active: true, cancel: true},
		{word: Pending, shown: ShownPending, active: true, cancel: true},
		{word: Scheduled, shown: ShownPending, exact: "scheduled", cancel: true},
		{word: Manual, shown: ShownPending, exact: "manual", cancel: true},
		{word: Running, shown: ShownRunning, active: true, cancel: true},
		{word: Canceling, shown: ShownRunning, exact: "canceling", active: true},
		{word: Success, shown: ShownSuccess, final: true},
		{word: Failed, shown: ShownFailed, final: true, retried: true},
		{word: Canceled, shown: ShownCanceled, final: true, retried: true},
		{word: Skipped, shown: ShownSkipped, final: true},
		{word: "quantum", shown: "quantum"}, // of a newer GitLab
		{word: "", shown: ""},
	} {
		t.Run(string(c.word), func(t *testing.T) {
			s := c.word
			if got := s.Shown(); got != c.shown {
				t.Errorf("shown as %q, want %q", got, c.shown)
			}
			if got := s.Exact(); got != c.exact {
				t.Errorf("exact word %q, want %q", got, c.exact)
			}
			if got := [4]bool{s.Final(), s.Active(), s.CanCancel(), s.CanRetry()}; got != [4]bool{c.final, c.active, c.cancel, c.retried} {
				t.Errorf("final, active, can cancel, can retry: %v, want %v", got, [4]bool{c.final, c.active, c.cancel, c.retried})
			}
		})
	}
}

func TestStatusOrder(t *testing.T) {
	for i, s := range every {
		if !s.Known() {
			t.Errorf("%s is not known", s)
		}
		if i > 0 && s.Rank() < every[i-1].Rank() {
			t.Errorf("%s is placed before %s", s, every[i-1])
		}
		if s.Final() != (s.Rank() == Failed.Rank()) {
			t.Errorf("%s: final %v at rank %d", s, s.Final(), s.Rank())
		}
	}
	for _, s := range []Status{"", "quantum", "Running"} {
		if s.Known() || s.Rank() != 0 {
			t.Errorf("%q is known, rank %d", s, s.Rank())
		}
	}
	if len(ranks) != len(every) {
		t.Errorf("%d words have a rank, %d are tested", len(ranks), len(every))
	}
}
