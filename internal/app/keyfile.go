package app

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"kovra.dev/chatops/internal/config"
)

const keyLen = 32

// encryptionKeys returns the configured keys or, where there are none, one that is
// kept in a file beside the database, made at the first start.
func encryptionKeys(cfg *config.Config) ([][]byte, error) {
	var keys [][]byte
	for _, k := range cfg.EncryptionKeys {
		keys = append(keys, []byte(k.Reveal()))
	}
	if len(keys) > 0 {
		return keys, nil
	}
	key, err := keyFile(cfg.DatabasePath + ".key")
	if err != nil {
		return nil, err
	}
	return [][]byte{key}, nil
}

func keyFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path) //nolint:gosec // beside the database that the administrator named
	if errors.Is(err, fs.ErrNotExist) {
		return newKeyFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read encryption key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keyLen {
		return nil, fmt.Errorf("encryption key in %s is not %d bytes in base64; restore it from your backup or remove it (secrets kept so far are then lost)", path, keyLen)
	}
	return key, nil
}

func newKeyFile(path string) ([]byte, error) {
	key := make([]byte, keyLen)
	_, _ = rand.Read(key)                                                 // never fails
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // as above
	if err != nil {
		return nil, fmt.Errorf("keep encryption key: %w", err)
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("keep encryption key: %w", err)
	}
	return key, nil
}
