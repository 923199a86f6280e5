package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"kovra.dev/chatops/bot"
	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/gitlab"
	"kovra.dev/chatops/internal/kovra"
)

// Peers are Slack and GitLab for a command beside the server, which only asks what names stand for. They are asked with the
// bot's tokens.
type Peers struct {
	slack *bot.Client
	lab   *gitlab.Client
}

// NewPeers makes the clients; nobody is called yet.
func NewPeers(cfg *config.Config, log *slog.Logger) (Peers, error) {
	way := &http.Client{Transport: realTransport(cfg)}
	lab, err := gitlab.New(gitlab.Options{URL: cfg.GitLabURL, Token: cfg.GitLabToken.Reveal, HTTP: way, Log: log})
	if err != nil {
		return Peers{}, fmt.Errorf("make GitLab client: %w", err)
	}
	slack, err := bot.NewClient(bot.ClientOptions{Token: cfg.SlackBotToken.Reveal, API: cfg.SlackAPIURL, HTTP: way})
	if err != nil {
		return Peers{}, fmt.Errorf("make Slack client: %w", err)
	}
	return Peers{slack: slack, lab: lab}, nil
}

// Channels are the names, without #, of the channels that the bot can see, by id.
func (p Peers) Channels(ctx context.Context) (map[string]string, error) { return p.slack.Channels(ctx) }

// Project is a project of GitLab by path, id or address, as the bot sees it.
func (p Peers) Project(ctx context.Context, name string) (kovra.Project, error) {
	return p.lab.Project(ctx, name)
}
