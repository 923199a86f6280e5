package webhooks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Headers of a delivery.
const (
	headerEvent = "X-Gitlab-Event"
	headerKey   = "Idempotency-Key" // GitLab 17.4 and later

	// Bodies larger than this are in memory a few at a time: who signs is known only when
	// the whole body was read.
	largeBody   = 1 << 20
	largeAtOnce = 4

	maxWord  = 100 // bytes of an event kind that are kept
	maxKey   = 255 // a longer key is not GitLab's
	bodyHash = "sha256:"
)

// acceptGitLab stores a delivery, whatever is in it, and then answers 200: GitLab
// disables hooks that fail, and never sends a delivery twice by itself.
func (h *Handler) acceptGitLab(c *gin.Context) string {
	ctx, r := c.Request.Context(), c.Request
	keys := h.proofs.Load().gitlab
	signed, ok := keys.admit(r.Header, h.now())
	if !ok {
		h.knock(c, nil)
		return refuse(c, http.StatusUnauthorized, outcomeUnauthorized)
	}
	if l := r.ContentLength; l < 0 || l > largeBody && l <= h.maxBytes {
		select {
		case h.large <- struct{}{}:
			defer func() { <-h.large }()
		case <-ctx.Done():
			return refuse(c, http.StatusServiceUnavailable, outcomeUnavailable)
		}
	}
	body, err := readBody(r, h.maxBytes)
	if err != nil {
		return refuseBody(c, err)
	}
	if signed && !keys.verify(r.Header, body) {
		h.knock(c, body)
		return refuse(c, http.StatusUnauthorized, outcomeUnauthorized)
	}
	kind := eventKind(r.Header)
	added, err := h.store(ctx, kovra.Delivery{Key: deliveryKey(r.Header, kind, body), Kind: kind, Body: hideValues(body), At: h.now()})
	if err != nil {
		if !errors.Is(err, storage.ErrStuck) { // of that the database tells itself, once
			h.log.ErrorContext(ctx, "delivery not stored", "kind", kind, "err", err)
		}
		return refuse(c, http.StatusServiceUnavailable, outcomeUnavailable)
	}
	c.Status(http.StatusOK)
	if !added {
		return outcomeRepeated
	}
	return outcomeStored
}

// store returns after the delivery is durable.
func (h *Handler) store(ctx context.Context, d kovra.Delivery) (added bool, err error) {
	err = h.db.Update(ctx, func(tx *storage.Tx) error {
		added, err = tx.AddDelivery(d)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store delivery: %w", err)
	}
	return added, nil
}

// eventKind is the X-Gitlab-Event header, made fit to be stored.
func eventKind(h http.Header) string {
	kind := clean(h.Get(headerEvent))
	return cut(kind, maxWord)
}

// deliveryKey names the event: GitLab's key is the same when it sends the same event
// again. Older ones send none; the same words of the same kind are then the same event.
// Where it signs, the key is signed along under another name, and only that one cannot be changed by who sends it again.
func deliveryKey(h http.Header, kind string, body []byte) string {
	key := h.Get(headerKey)
	if h.Get(standardwebhooks.HeaderWebhookSignature) != "" {
		key = cmp.Or(h.Get(standardwebhooks.HeaderWebhookID), key)
	}
	if key != "" && len(key) <= maxKey && utf8.ValidString(key) {
		return key
	}
	sum := sha256.New()
	sum.Write([]byte(kind + "\n"))
	sum.Write(body)
	return bodyHash + hex.EncodeToString(sum.Sum(nil))
}

// clean removes what a text column cannot hold.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// cut shortens s to at most n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
