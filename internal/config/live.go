package config

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// Live is a configuration whose secrets follow the files that they were read from, as
// when Kubernetes renews a mounted Secret. All else stays as it was loaded. Get may be
// called from any goroutine, Refresh from one.
type Live struct {
	now  atomic.Pointer[Config]
	told map[string]string // what is wrong with a file, by name of the setting, so that it is told once
}

// NewLive begins with what was loaded.
func NewLive(c *Config) *Live {
	l := &Live{told: map[string]string{}}
	l.now.Store(c)
	return l
}

// Get returns the configuration as it is now. It must not be changed.
func (l *Live) Get() *Config { return l.now.Load() }

// Refresh reads the files of secrets again and returns the names of the settings that have a
// new value. A file that cannot be read, or holds what Load would refuse, leaves its secret as it
// was; the error names what is wrong with each file once, not at every call, and never holds a value.
func (l *Live) Refresh() (changed []string, err error) {
	old := l.Get()
	fresh := *old
	var problems []error
	for _, s := range settings {
		path, ok := old.files[s.Name]
		if !ok {
			continue
		}
		one := fresh
		if wrong := s.refresh(&one, path); wrong != nil {
			if l.told[s.Name] != wrong.Error() {
				problems = append(problems, fmt.Errorf("%s%s: %w", s.Name, fileSuffix, wrong))
			}
			l.told[s.Name] = wrong.Error()
			continue
		}
		delete(l.told, s.Name)
		if s.get(&one) != s.get(old) {
			changed, fresh = append(changed, s.Name), one
		}
	}
	if len(changed) > 0 {
		l.now.Store(&fresh)
	}
	return changed, errors.Join(problems...)
}

// refresh takes over into c what the file of a secret holds now.
func (s setting) refresh(c *Config, path string) error {
	text, err := readSecretFile(path)
	if err != nil {
		return err
	}
	before := c.EncryptionKeys
	if err := s.set(c, text); err != nil {
		return err
	}
	if s.Name == encryptKey && !slices.Contains(c.EncryptionKeys, before[0]) {
		return errors.New("the key that seals now is not in it; expected: the new key first, and the old one after it")
	}
	return nil
}
