package apply

import (
	"fmt"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// State is what a file is compared with.
type State struct {
	Apps          []kovra.App // by name
	Projects      map[int64]kovra.Project
	Subscriptions map[string][]kovra.Subscription // by app
	Settings      map[string]kovra.BuildSettings  // by app
}

// ReadState reads all that a file can say something about.
func ReadState(tx *storage.Tx) (State, error) {
	s := State{
		Projects: map[int64]kovra.Project{}, Subscriptions: map[string][]kovra.Subscription{}, Settings: map[string]kovra.BuildSettings{},
	}
	projects, err := tx.LinkedProjects()
	if err != nil {
		return s, fmt.Errorf("read projects: %w", err)
	}
	for _, p := range projects {
		s.Projects[p.ID] = p
	}
	subscriptions, err := tx.Subscriptions(storage.SubscriptionQuery{})
	if err != nil {
		return s, fmt.Errorf("read subscriptions: %w", err)
	}
	for _, sub := range subscriptions {
		s.Subscriptions[sub.App] = append(s.Subscriptions[sub.App], sub)
	}
	if s.Apps, err = tx.Apps(); err != nil {
		return s, fmt.Errorf("read apps: %w", err)
	}
	for _, a := range s.Apps {
		if s.Settings[a.Name], err = tx.BuildSettings(a.Name); err != nil {
			return s, fmt.Errorf("read settings of %s: %w", a.Name, err)
		}
	}
	return s, nil
}

// app returns an app by name; false: there is none.
func (s *State) app(name string) (kovra.App, bool) {
	for _, a := range s.Apps {
		if a.Name == name {
			return a, true
		}
	}
	return kovra.App{}, false
}

// settings are those of an app, or the defaults.
func (s *State) settings(app string) kovra.BuildSettings {
	if set, ok := s.Settings[app]; ok {
		return set
	}
	return kovra.DefaultBuildSettings(app)
}
