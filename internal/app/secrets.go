package app

import (
	"context"
	"errors"
	"slices"

	"kovra.dev/chatops/internal/kovra"
)

// renewSecrets reads the files of secrets again. Clients ask for a secret before each call; who keeps something that
// was made of one is told here.
func (a *App) renewSecrets(ctx context.Context) {
	before := a.live.Get()
	changed, err := a.live.Refresh()
	if err != nil {
		a.log.ErrorContext(ctx, "the file of a secret cannot be used: the secret of before goes on", "err", err)
	}
	if len(changed) == 0 {
		return
	}
	cfg := a.live.Get()
	a.log.InfoContext(ctx, "secrets renewed from their files", "settings", changed)
	err = a.hooks.Renew(reveal(cfg.GitLabWebhookSecrets), reveal(cfg.GitLabSigningTokens), cfg.SlackSigningSecret.Reveal())
	if !slices.Equal(cfg.EncryptionKeys, before.EncryptionKeys) {
		err = errors.Join(err, a.db.SetKeys(rawKeys(cfg.EncryptionKeys)), a.gate.SealAgain(ctx))
	}
	if err != nil {
		a.log.ErrorContext(ctx, "new secrets are not used everywhere: restart", "err", err)
	}
	if cfg.GitLabToken != before.GitLabToken {
		a.work.TokenChanged()
		a.kick(kovra.Ref{Kind: kovra.RefToken})
	}
	if a.socket != nil && cfg.SlackAppToken != before.SlackAppToken {
		a.socket.Renew()
	}
}
