package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// kovra putback FILE puts a file in the place of the database, as an administrator does who restores a backup.
func kovraPutBack(s *story, c *scriptLine) error {
	if s.running() != nil {
		return errors.New("it runs")
	}
	text, err := os.ReadFile(filepath.Join(s.dir, c.args[0]))
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, "kovra.db")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	for _, end := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + end); err == nil {
			return fmt.Errorf("a server that ended has left %s%s", path, end)
		}
	}
	return nil
}

// kovra copy FILE copies the file of the database while no server runs, as a snapshot of its disk would.
func kovraCopy(s *story, c *scriptLine) error {
	if s.running() != nil {
		return errors.New("it runs")
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "kovra.db"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, c.args[0]), text, 0o600)
}
