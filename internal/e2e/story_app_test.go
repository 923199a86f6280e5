package e2e

import (
	"os"
	"path/filepath"
	"sync"

	"go.yaml.in/yaml/v3"
)

// slackApp is what the Slack app of our manifest is granted and told. Stories are played with
// nothing more, so that what is missing there is missed here.
type slackApp struct {
	OAuth struct {
		Scopes struct {
			Bot []string `yaml:"bot"`
		} `yaml:"scopes"`
	} `yaml:"oauth_config"`
	Settings struct {
		Events struct {
			Bot []string `yaml:"bot_events"`
		} `yaml:"event_subscriptions"`
	} `yaml:"settings"`
}

// ourSlackApp reads the manifest once.
var ourSlackApp = sync.OnceValue(func() slackApp {
	var app slackApp
	text, err := os.ReadFile(filepath.Join("..", "..", "manifests", "slack", "app.yaml"))
	if err == nil {
		err = yaml.Unmarshal(text, &app)
	}
	if err != nil || len(app.OAuth.Scopes.Bot) == 0 || len(app.Settings.Events.Bot) == 0 {
		panic("the manifest of the Slack app cannot be read: " + string(text))
	}
	return app
})
