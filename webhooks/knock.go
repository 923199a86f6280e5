package webhooks

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// What is read of a request that was refused, and how fast: it may be anybody's.
const (
	knockBytes  = 64 << 10
	knockTime   = 2 * time.Second
	knocks      = 2                      // at once
	knocksEvery = 200 * time.Millisecond // on average
	knocksBurst = 10
)

// knock tells which project a refused delivery says it is of, as a hint to look at that project's webhook: nothing else of
// it is believed, and nothing is kept. body is what was read already; nil: a little of it is read here. When many
// come, most are passed over.
func (h *Handler) knock(c *gin.Context, body []byte) {
	if h.refused == nil || !h.knocking.AllowN(h.now(), 1) {
		return
	}
	select {
	case h.knockers <- struct{}{}:
		defer func() { <-h.knockers }()
	default:
		return
	}
	if body == nil {
		_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(knockTime)) // where it cannot be set, the server's own holds
		body, _ = io.ReadAll(io.LimitReader(c.Request.Body, knockBytes))                    // what came may be enough
	}
	if project := projectIn(body[:min(len(body), knockBytes)]); project > 0 {
		h.refused(project)
	}
}

// projectIn finds the id of the project in the beginning of a payload: project_id, or project.id. 0: it is not there.
func projectIn(body []byte) int64 {
	var found int64
	scan := json.NewDecoder(bytes.NewReader(body))
	scan.UseNumber()
	if t, err := scan.Token(); err != nil || t != json.Delim('{') {
		return 0
	}
	for found == 0 {
		key, err := scan.Token()
		if err != nil || key == json.Delim('}') {
			return 0
		}
		switch key {
		case "project_id":
			found = numberIn(scan)
		case "project":
			var p struct {
				ID int64 `json:"id"`
			}
			if scan.Decode(&p) != nil {
				return 0
			}
			found = p.ID
		default:
			var skipped json.RawMessage
			if scan.Decode(&skipped) != nil {
				return 0
			}
		}
	}
	return found
}

func numberIn(scan *json.Decoder) int64 {
	var n json.Number
	if scan.Decode(&n) != nil {
		return 0
	}
	id, err := n.Int64()
	if err != nil {
		return 0
	}
	return id
}
