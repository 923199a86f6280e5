package storage

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// sealer encrypts what must not be readable in the database file: AES-256-GCM
// with random nonces. A sealed value starts with four bytes that name its key, so
// keys can be rotated: the first seals, all open.
type sealer struct {
	first  string
	keys   map[string]cipher.AEAD
	prints []printKey // of fingerprints, in the order of the keys
	links  [][]byte   // keys of links to logs, in the order of the keys
}

const keyNameLen = 4

var errNoKey = errors.New("no encryption key: secrets cannot be kept")

func newSealer(keys [][]byte) (*sealer, error) {
	s := &sealer{keys: map[string]cipher.AEAD{}}
	for i, k := range keys {
		if len(k) != 32 {
			return nil, fmt.Errorf("encryption key %d has %d bytes instead of 32", i+1, len(k))
		}
		block, err := aes.NewCipher(k)
		if err != nil {
			return nil, err // unreachable: the length is right
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err // unreachable: AES has the right block size
		}
		sum := sha256.Sum256(k)
		name := string(sum[:keyNameLen])
		if i == 0 {
			s.first = name
		}
		s.keys[name] = aead
		s.prints = append(s.prints, newPrintKey(k))
		s.links = append(s.links, subkey(k, "log link"))
	}
	return s, nil
}

// subkey derives a key for one use.
func subkey(key []byte, use string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(use))
	return h.Sum(nil)
}

// seal encrypts v for one use; the same use must be named to open it. nil stays nil.
func (s *sealer) seal(use string, v []byte) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	aead := s.keys[s.first]
	if aead == nil {
		return nil, errNoKey
	}
	return aead.Seal([]byte(s.first), nil, v, []byte(use)), nil //nolint:gosec // this AEAD draws its nonce itself
}

func (s *sealer) open(use string, v []byte) ([]byte, error) {
	if len(v) == 0 {
		return nil, nil
	}
	if len(v) < keyNameLen {
		return nil, errors.New("sealed value is damaged")
	}
	aead := s.keys[string(v[:keyNameLen])]
	if aead == nil {
		return nil, errors.New("sealed with a key that is not configured any more")
	}
	out, err := aead.Open(nil, nil, v[keyNameLen:], []byte(use))
	if err != nil {
		return nil, fmt.Errorf("open sealed value: %w", err)
	}
	return out, nil
}

// SetKeys replaces the encryption keys, see [Options].Key, for everything that is sealed or opened from now on. What was
// sealed with a key that is not among them cannot be opened any more.
func (db *DB) SetKeys(keys [][]byte) error {
	s, err := newSealer(keys)
	if err == nil {
		db.sealer.Store(s)
	}
	return err
}

// isFirst reports whether a sealed value was sealed with the first key.
func (s *sealer) isFirst(v []byte) bool {
	return len(v) >= keyNameLen && string(v[:keyNameLen]) == s.first
}

// Seal encrypts a text for one use, for those who must hand it out and know it again: links, cookies. The same use must be named to
// open it. It can be put into a URL. Without a key it is an error.
func (db *DB) Seal(use string, text []byte) (string, error) {
	sealed, err := db.sealer.Load().seal("out/"+use, text)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Unseal gives back what [DB.Seal] was given; an error for everything else, and for what another use was named for.
func (db *DB) Unseal(use, sealed string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil, errors.New("sealed value is damaged")
	}
	return db.sealer.Load().open("out/"+use, raw)
}
