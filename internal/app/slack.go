package app

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"

	"kovra.dev/chatops/bot"
	"kovra.dev/chatops/webhooks"
)

// hearSlack decides how what people do in Slack comes to the handler: by HTTP, or in Socket
// Mode where there is an app token.
func (a *App) hearSlack(o *webhooks.Options, handler webhooks.Slack, client *bot.Client, way http.RoundTripper) (err error) {
	if a.cfg.SlackAppToken == "" {
		o.Slack, o.SlackSigningSecret = handler, a.cfg.SlackSigningSecret.Reveal()
		return nil
	}
	a.socket, err = webhooks.NewSocket(webhooks.SocketOptions{
		AppToken: func() string { return a.live.Get().SlackAppToken.Reveal() }, API: a.cfg.SlackAPIURL, HTTP: a.transport("slack", way),
		TLS:   &tls.Config{RootCAs: a.cfg.CAPool, MinVersion: tls.VersionTLS12},
		Slack: handler, Respond: client.Respond, Log: a.log, Counted: a.metrics.request,
	})
	return err
}

// channels is the Slack client as dispatch wants to see it.
type channels struct{ *bot.Client }

// Join implements dispatch.Channels. Only a public channel can be entered; where that
// is refused the bot may be a member all the same, because somebody invited it.
func (c channels) Join(ctx context.Context, channel string) (bool, error) {
	err := c.Client.Join(ctx, channel)
	if err == nil {
		return true, nil
	}
	if _, refused := errors.AsType[*bot.Refusal](err); !refused {
		return false, err
	}
	member, err := c.Member(ctx, channel)
	if _, refused := errors.AsType[*bot.Refusal](err); refused {
		return false, nil
	}
	return member, err
}
