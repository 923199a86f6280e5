package storage

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// linkMAC is how much of the signature a link carries: 128 bits cannot be guessed.
const linkMAC = 16

// linkKinds are the first byte of a link.
var linkKinds = map[kovra.LogKind]byte{kovra.JobLog: 'j', kovra.BuildLog: 'b', kovra.DeploymentLog: 'd'}

// LogLink is the last part of the address of a log: it names the log and is signed, so
// that who has it may read this log and no other. The same log has always the same
// link, as long as the first encryption key stays; "" without a key.
func (db *DB) LogLink(k kovra.LogKey) string {
	kind, ok := linkKinds[k.Kind]
	keys := db.sealer.Load().links
	if !ok || len(keys) == 0 {
		return ""
	}
	b := []byte{kind}
	b = binary.AppendUvarint(b, uint64(k.Project)) //nolint:gosec // ids are positive
	b = binary.AppendUvarint(b, uint64(k.ID))      //nolint:gosec // ids are positive
	return base64.RawURLEncoding.EncodeToString(append(b, signLink(keys[0], b)...))
}

// OpenLink returns the log that a link opens, if any of our keys has signed it.
func (db *DB) OpenLink(link string) (kovra.LogKey, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(link)
	if err != nil || len(raw) <= linkMAC || strings.ContainsAny(link, "\r\n") { // which the decoder would skip
		return kovra.LogKey{}, false
	}
	b, mac := raw[:len(raw)-linkMAC], raw[len(raw)-linkMAC:]
	for _, key := range db.sealer.Load().links {
		if hmac.Equal(mac, signLink(key, b)) {
			return readLink(b)
		}
	}
	return kovra.LogKey{}, false
}

func signLink(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)[:linkMAC]
}

// readLink reads what was signed.
func readLink(b []byte) (kovra.LogKey, bool) {
	project, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return kovra.LogKey{}, false
	}
	id, m := binary.Uvarint(b[1+n:])
	if m <= 0 || 1+n+m != len(b) {
		return kovra.LogKey{}, false
	}
	for kind, c := range linkKinds {
		if c == b[0] {
			return kovra.LogKey{Kind: kind, Project: int64(project), ID: int64(id)}, true //nolint:gosec // we signed it
		}
	}
	return kovra.LogKey{}, false
}
