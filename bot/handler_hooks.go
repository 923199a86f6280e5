package bot

import (
	"context"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// hooks answers administrators with how all webhooks are.
func (h *Handler) hooks(ctx context.Context, r request) (Answer, error) {
	if err := h.may(ctx, r.asker, kovra.ActEnableHooks.Permission(), ""); err != nil {
		return Answer{}, err
	}
	var all []kovra.ProjectHook
	err := h.DB.Read(ctx, func(tx *storage.Tx) (err error) {
		all, err = tx.Hooks()
		return err
	})
	return RenderHooks(all, h.Hook.URL == ""), err
}

// clickEnableHooks brings the webhooks of all projects to send again. Whether the person may is asked right before the effect.
func (h *Handler) clickEnableHooks(ctx context.Context, ask asker, _ string) (Answer, error) {
	return h.do(ctx, ask, kovra.Action{Kind: kovra.ActEnableHooks}, nil)
}
