package gitlabsim

import (
	"fmt"
	"time"
)

// GitLab lets a user test the hooks of a project so many times in a minute.
const (
	testsAtOnce = 5
	testsPeriod = time.Minute
)

// testKey is one user who tests hooks of one project.
type testKey struct{ project, user int64 }

// mayTest counts a test and reports whether it is within the limit.
func (s *Server) mayTest(k testKey) bool {
	now := s.now()
	var recent []time.Time
	for _, at := range s.tests[k] {
		if now.Sub(at) < testsPeriod {
			recent = append(recent, at)
		}
	}
	if len(recent) >= testsAtOnce {
		s.tests[k] = recent
		return false
	}
	s.tests[k] = append(recent, now)
	return true
}

// EditHook changes a hook as a Maintainer does by hand in the settings of the project. What GitLab decides (id, project, alert status)
// stays; RecentFailures and DisabledUntil are taken over, so that a test need not let forty deliveries fail.
func (s *Server) EditHook(id int64, change func(*Hook)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.findHook(id)
	if h == nil {
		return fmt.Errorf("no hook %d", id)
	}
	k := h.Hook
	change(&k)
	k.ID, k.ProjectID = h.ID, h.ProjectID
	h.Hook, h.backoffs = k, max(k.RecentFailures-backoffAfter+1, 0)
	return nil
}

// SwitchOffHook makes a hook what forty failures in a row make of it.
func (s *Server) SwitchOffHook(id int64) error {
	return s.EditHook(id, func(k *Hook) { k.RecentFailures, k.DisabledUntil = disabledAfter, s.now().Add(maxBackoff) })
}

// RestHook makes a hook what some failures in a row make of it: it sends nothing until then.
func (s *Server) RestHook(id int64, until time.Time) error {
	return s.EditHook(id, func(k *Hook) { k.RecentFailures, k.DisabledUntil = backoffAfter, until })
}

// DeleteHook deletes a hook as a Maintainer does by hand.
func (s *Server) DeleteHook(id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.projects {
		for i, h := range p.hooks {
			if h.ID == id {
				p.hooks = append(p.hooks[:i:i], p.hooks[i+1:]...)
				return nil
			}
		}
	}
	return fmt.Errorf("no hook %d", id)
}
