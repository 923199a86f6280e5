package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"
	"github.com/slack-go/slack/slackutilsx"

	"kovra.dev/chatops/internal/kovra"
)

const mimeJSON = "application/json; charset=utf-8"

// Slack takes what people do in Slack, after its signature was checked. A context
// ends in time for Slack to get an answer. The same request may come twice; each
// method must see to it that nothing happens twice.
type Slack interface {
	// Command takes a slash command. body is the JSON of the private answer; nil:
	// nothing is said. The public text of an error is said instead.
	Command(ctx context.Context, form url.Values) (body []byte, err error)
	// Interaction takes clicks, submitted and closed views, shortcuts and the queries
	// of type-ahead fields. body is the JSON of the answer, or nil.
	Interaction(ctx context.Context, payload []byte) (body []byte, err error)
	// Event takes an envelope of the Events API. After an error Slack sends it again;
	// event_id is then the same.
	Event(ctx context.Context, payload []byte) error
}

func (h *Handler) acceptCommand(c *gin.Context) string {
	ctx, cancel := context.WithTimeout(c.Request.Context(), SlackDeadline)
	defer cancel()
	form, ended := h.slackForm(c)
	if ended != "" {
		return ended
	}
	body, err := h.slack.Command(ctx, form)
	if err != nil {
		h.log.ErrorContext(ctx, "slash command failed", "command", form.Get("command"), "err", err)
		answer(c, apology(err))
		return outcomeFailed
	}
	answer(c, body)
	return outcomeAnswered
}

func (h *Handler) acceptInteraction(c *gin.Context) string {
	ctx, cancel := context.WithTimeout(c.Request.Context(), SlackDeadline)
	defer cancel()
	form, ended := h.slackForm(c)
	if ended != "" {
		return ended
	}
	payload := []byte(form.Get("payload"))
	if !json.Valid(payload) {
		return refuse(c, http.StatusBadRequest, outcomeUnreadable)
	}
	body, err := h.slack.Interaction(ctx, payload)
	if err != nil {
		h.log.ErrorContext(ctx, "slack interaction failed", "err", err)
		answer(c, nil) // Slack ignores the body of a click's answer, and a view knows no other word for it
		return outcomeFailed
	}
	answer(c, body)
	return outcomeAnswered
}

func (h *Handler) acceptEvent(c *gin.Context) string {
	ctx, cancel := context.WithTimeout(c.Request.Context(), SlackDeadline)
	defer cancel()
	payload, ended := h.slackBody(c, nil)
	if ended != "" {
		return ended
	}
	var envelope struct {
		Type      word   `json:"type"`
		Challenge string `json:"challenge"`
	}
	if err := tolerantly(payload, &envelope); err != nil {
		return refuse(c, http.StatusBadRequest, outcomeUnreadable)
	}
	if envelope.Type == "url_verification" {
		answer(c, mustJSON(map[string]string{"challenge": envelope.Challenge}))
		return outcomeChecked
	}
	if err := h.slack.Event(ctx, payload); err != nil {
		h.log.ErrorContext(ctx, "slack event failed", "err", err)
		return refuse(c, http.StatusServiceUnavailable, outcomeFailed) // Slack sends it again
	}
	answer(c, nil)
	return outcomeAnswered
}

// slackForm returns the signed form of a request; or, where the request was
// answered already, how it ended.
func (h *Handler) slackForm(c *gin.Context) (form url.Values, ended string) {
	body, ended := h.slackBody(c, isCertificateCheck)
	if ended != "" {
		return nil, ended
	}
	// Only the body is signed, so nothing may come from the query of the URL.
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, refuse(c, http.StatusBadRequest, outcomeUnreadable)
	}
	return form, ""
}

// slackBody returns the signed body of a request; or, where the request was
// answered already, how it ended. A body that check, if given, recognises is
// answered without a look at its signature.
func (h *Handler) slackBody(c *gin.Context, check func([]byte) bool) (body []byte, ended string) {
	body, err := readBody(c.Request, SlackMaxBytes)
	if err != nil {
		return nil, refuseBody(c, err)
	}
	if check != nil && check(body) {
		answer(c, nil)
		return nil, outcomeChecked
	}
	if !slackSigned(h.proofs.Load().slack, c.Request.Header, body, h.now()) {
		return nil, refuse(c, http.StatusUnauthorized, outcomeUnauthorized)
	}
	return body, ""
}

// isCertificateCheck recognises Slack's look at our certificate. It is not always
// signed; nothing is done for it.
func isCertificateCheck(body []byte) bool {
	if !bytes.Contains(body, []byte("ssl_check=1")) {
		return false
	}
	form, err := url.ParseQuery(string(body))
	return err == nil && form.Get("ssl_check") == "1"
}

// checkCertificate answers the same by GET.
func checkCertificate(c *gin.Context) {
	if c.Query("ssl_check") == "1" {
		c.Status(http.StatusOK)
		return
	}
	c.Header("Allow", http.MethodPost)
	c.AbortWithStatus(http.StatusMethodNotAllowed)
}

// answer sends JSON, or an empty 200.
func answer(c *gin.Context, body []byte) {
	if len(body) == 0 {
		c.Status(http.StatusOK)
		return
	}
	c.Data(http.StatusOK, mimeJSON, body)
}

// apology is the private answer to a command that failed.
func apology(err error) []byte {
	return mustJSON(map[string]string{
		"response_type": "ephemeral",
		"text":          slackutilsx.EscapeMessage(kovra.PublicText(err)),
	})
}

func mustJSON(m map[string]string) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // unreachable: strings can always be written
	}
	return b
}
