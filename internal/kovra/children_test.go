package kovra

import "testing"

func TestTriggerAndLeft(t *testing.T) {
	below := func(parent, job, remote int64, jobs ...Job) Child {
		return Child{Run: Run{ID: remote, Remote: remote, Parent: Parent{Pipeline: parent, Job: job}}, Jobs: jobs}
	}
	v := View{
		Run: Run{Remote: 1},
		Jobs: []Job{
			{ID: 10, Name: "a", Bridge: true, Downstream: Downstream{Pipeline: 2}},
			{ID: 20, Name: "a", Bridge: true},
			{ID: 30, Name: "b", Bridge: true},
			{ID: 40, Name: "unit"},
		},
		Children: []Child{
			below(1, 0, 2, Job{ID: 11, Name: "deep", Bridge: true}), // of the first a
			below(2, 11, 3),
			below(1, 20, 4),
			below(1, 30, 5, Job{ID: 31, Name: "deep", Bridge: true}, Job{ID: 32, Name: "deep", Bridge: true}),
			below(5, 31, 6),
			below(5, 32, 7),
			below(1, 99, 8),  // of a job that is not known
			below(1, 40, 9),  // of one that starts nothing
			below(50, 1, 10), // of a pipeline that is not known
			below(12, 1, 11), // younger than what it started
			below(11, 1, 12),
			below(0, 30, 13),
		},
	}
	for remote, want := range map[int64]struct {
		trigger int64
		of      int64
		left    bool
	}{
		2: {10, 0, true}, 3: {11, 2, true}, 4: {20, 0, false}, 5: {30, 0, false}, 6: {31, 5, true}, 7: {32, 5, false},
		8: {}, 9: {}, 10: {}, 11: {}, 12: {of: 11}, 13: {30, 0, false},
	} {
		for i := range v.Children {
			c := &v.Children[i]
			if c.Run.Remote != remote {
				continue
			}
			of, trigger, known := v.Trigger(c)
			var parent int64
			if of != nil {
				parent = of.Run.Remote
			}
			if trigger.ID != want.trigger || known != (want.trigger != 0) || parent != want.of || v.Left(c) != want.left {
				t.Errorf("%d: got job %d of %d, %t, left behind %t", remote, trigger.ID, parent, known, v.Left(c))
			}
		}
	}
}
