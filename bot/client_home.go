package bot

import (
	"context"
	"errors"

	"github.com/slack-go/slack"
)

// codeHashConflict is Slack's word for a view that is another one by now.
const codeHashConflict = "hash_conflict"

// PublishHome shows a view in a person's App Home and returns Slack's mark of it. With a hash it does so only while
// the Home is still the one that the hash was told of; else the error is a [Refusal] with the code hash_conflict. ""
// replaces it anyway. Class: by id; it can be repeated.
func (c *Client) PublishHome(ctx context.Context, user, hash string, view slack.HomeTabViewRequest) (mark string, err error) {
	req := slack.PublishViewContextRequest{UserID: user, View: view}
	if hash != "" {
		req.Hash = &hash
	}
	err = c.do(ctx, effectOn("views.publish", ""), func(ctx context.Context) error {
		res, err := c.api().PublishViewContext(ctx, req)
		if err == nil {
			mark = res.Hash
		}
		return err
	})
	return mark, err
}

func isHashConflict(err error) bool {
	no, ok := errors.AsType[*Refusal](err)
	return ok && no.Code == codeHashConflict
}
