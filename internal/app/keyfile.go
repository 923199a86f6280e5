package app

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"kovra.dev/chatops/internal/config"
)

const keyLen = 32

// encryptionKeys returns the configured keys or, where there are none, one that is
// kept in a file beside the database, made at the first start.
func encryptionKeys(cfg *config.Config) ([][]byte, error) {
	if len(cfg.EncryptionKeys) > 0 {
		return rawKeys(cfg.EncryptionKeys), nil
	}
	key, err := keyFile(cfg.DatabasePath + ".key")
	if err != nil {
		return nil, err
	}
	return [][]byte{key}, nil
}

func rawKeys(secrets []config.Secret) [][]byte {
	keys := make([][]byte, len(secrets))
	for i, s := range secrets {
		keys[i] = []byte(s.Reveal())
	}
	return keys
}

func keyFile(path string) ([]byte, error) {
	key, err := ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newKeyFile(path)
	}
	return key, err
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
