package app

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"kovra.dev/chatops/internal/config"
)

// KeyPath is where the key is kept that was not configured.
func KeyPath(cfg *config.Config) string { return cfg.DatabasePath + ".key" }

// ReadKey reads a file that holds a key; the error is fs.ErrNotExist when there is none.
func ReadKey(path string) ([]byte, error) {
	text, err := os.ReadFile(path) //nolint:gosec // beside the database that the administrator named
	if err != nil {
		return nil, fmt.Errorf("read encryption key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keyLen {
		return nil, fmt.Errorf("encryption key in %s is not %d bytes in base64; restore it from your backup or remove it (secrets kept so far are then lost)", path, keyLen)
	}
	return key, nil
}
