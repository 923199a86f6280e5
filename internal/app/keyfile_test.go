package app

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/config"
)

func TestKeyFileIsMadeOnce(t *testing.T) {
	cfg := &config.Config{DatabasePath: filepath.Join(t.TempDir(), "kovra.db")}
	first, err := encryptionKeys(cfg)
	if err != nil || len(first) != 1 || len(first[0]) != keyLen || bytes.Equal(first[0], make([]byte, keyLen)) {
		t.Fatalf("keys %v, %v", first, err)
	}
	info, err := os.Stat(cfg.DatabasePath + ".key")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file %v, %v", info.Mode(), err)
	}
	again, err := encryptionKeys(cfg)
	if err != nil || len(again) != 1 || !bytes.Equal(first[0], again[0]) {
		t.Errorf("another key at the second start: %v", err)
	}
}

func TestConfiguredKeysNeedNoFile(t *testing.T) {
	key := strings.Repeat("k", keyLen)
	cfg := configured(t, "KOVRA_ENCRYPTION_KEY="+base64.StdEncoding.EncodeToString([]byte(key)))
	keys, err := encryptionKeys(cfg)
	if err != nil || len(keys) != 1 || string(keys[0]) != key {
		t.Errorf("keys %v, %v", keys, err)
	}
	if _, err := os.Stat(cfg.DatabasePath + ".key"); !os.IsNotExist(err) {
		t.Errorf("a key file: %v", err)
	}
}

// A damaged key is never replaced: what it sealed would be lost without a word.
func TestDamagedKeyFileIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no base64": "%%%", "too short": base64.StdEncoding.EncodeToString([]byte("short")),
		"too long": base64.StdEncoding.EncodeToString(make([]byte, keyLen+1)),
	} {
		path := filepath.Join(t.TempDir(), "kovra.db.key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keyFile(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
		if text != "" && err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error shows what is in the file", name)
		}
		if left, _ := os.ReadFile(path); string(left) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestKeyFileThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	if _, err := keyFile(dir); err == nil {
		t.Error("a directory was read as a key")
	}
	if _, err := keyFile(filepath.Join(dir, "none", "key")); err == nil {
		t.Error("no error for a directory that is not there")
	}
	if _, err := newKeyFile(dir); err == nil {
		t.Error("what is there already was replaced")
	}
}
