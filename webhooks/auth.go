package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Headers that carry a proof.
const (
	headerGitLabToken    = "X-Gitlab-Token" //nolint:gosec // the name of a header, not a secret
	headerSlackSignature = "X-Slack-Signature"
	headerSlackTimestamp = "X-Slack-Request-Timestamp"

	signingTokenPrefix = "whsec_"
	slackVersion       = "v0"
)

// gitlabKeys prove that a delivery comes from GitLab.
type gitlabKeys struct {
	secrets [][sha256.Size]byte // hashed, so that comparing tells nothing of their lengths
	signing []*standardwebhooks.Webhook
}

func newGitLabKeys(secrets, tokens []string) (gitlabKeys, error) {
	var k gitlabKeys
	if len(secrets)+len(tokens) == 0 {
		return k, errors.New("webhooks of GitLab need a secret or a signing token")
	}
	for _, s := range secrets {
		if s == "" {
			return k, errors.New("a webhook secret of GitLab is empty")
		}
		k.secrets = append(k.secrets, sha256.Sum256([]byte(s)))
	}
	for _, t := range tokens {
		w, err := standardwebhooks.NewWebhook(t)
		if err != nil || !strings.HasPrefix(t, signingTokenPrefix) || t == signingTokenPrefix {
			// The cause is left out: it may quote the token.
			return k, errors.New("a webhook signing token of GitLab is not whsec_ and base64")
		}
		k.signing = append(k.signing, w)
	}
	return k, nil
}

// admit judges the headers alone, before the body is read. With signed, the
// delivery is only admitted once its body passes [gitlabKeys.verify] too: a
// signature that is there is never passed over in favour of the secret.
func (k gitlabKeys) admit(h http.Header, now time.Time) (signed, ok bool) {
	if _, carries := h[http.CanonicalHeaderKey(standardwebhooks.HeaderWebhookSignature)]; carries && len(k.signing) > 0 {
		return true, fresh(h.Get(standardwebhooks.HeaderWebhookTimestamp), now)
	}
	got := sha256.Sum256([]byte(h.Get(headerGitLabToken)))
	match := 0
	for _, want := range k.secrets { // no early exit: the time must not tell which one matched
		match |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	return false, match == 1
}

// verify reports whether one of the signing tokens signed the body.
func (k gitlabKeys) verify(h http.Header, body []byte) bool {
	match := false
	for _, w := range k.signing {
		// The time was judged by admit, with our clock.
		match = w.VerifyIgnoringTimestamp(body, h) == nil || match
	}
	return match
}

// fresh reports whether a Unix time in a header is within [Tolerance] of now.
func fresh(header string, now time.Time) bool {
	at, err := strconv.ParseInt(header, 10, 64)
	if err != nil {
		return false
	}
	return at >= now.Add(-Tolerance).Unix() && at <= now.Add(Tolerance).Unix()
}

// slackSigned reports whether Slack signed the raw body, not more than
// [Tolerance] ago. The query of a request is not signed.
func slackSigned(key []byte, h http.Header, body []byte, now time.Time) bool {
	stamp := h.Get(headerSlackTimestamp)
	if !fresh(stamp, now) {
		return false
	}
	hexed, ok := strings.CutPrefix(h.Get(headerSlackSignature), slackVersion+"=")
	if !ok {
		return false
	}
	got, err := hex.DecodeString(hexed)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(slackVersion + ":" + stamp + ":")) // a hash never fails to be written
	mac.Write(body)
	return hmac.Equal(got, mac.Sum(nil))
}
