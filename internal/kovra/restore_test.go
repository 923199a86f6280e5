package kovra

import (
	"testing"
	"time"
)

// What a thread is about has a name that no number of ours is part of, but that of a build.
func TestIdentity(t *testing.T) {
	at := time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)
	for want, v := range map[string]View{
		"run/7/100":                    {Thread: Thread{ID: 3, Run: 4}, Run: Run{ID: 4, Project: 7, Remote: 100, CreatedAt: at}},
		"build/12":                     {Thread: Thread{ID: 3, Build: 12}, Build: &Build{ID: 12, CreatedAt: at}},
		"subject/7/merge_request/!5":   {Thread: Thread{ID: 3}, Subject: &Subject{ID: 9, Project: 7, Kind: SubjectMergeRequest, Key: "!5", CreatedAt: at}},
		"notice/expiry/5/2027-01-10/7": {Thread: Thread{ID: 3, Notice: 8}, Notice: &Notice{ID: 8, Kind: NoticeExpiry, Key: "5/2027-01-10/7", OpenedAt: at}},
	} {
		if got := v.Identity(); got != want || !v.Born().Equal(at) {
			t.Errorf("%s, %v; want %s, %v", got, v.Born(), want, at)
		}
	}
}

func TestPausedSince(t *testing.T) {
	for want, s := range map[string]BuildSettings{
		"a roll back": {Paused: true}, "the database was restored from a backup": {Paused: true, PausedByRestore: true},
	} {
		if got := s.PausedSince(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
