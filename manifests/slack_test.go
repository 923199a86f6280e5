package manifests

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// slackApp is the part of Slack's manifest schema that we use.
type slackApp struct {
	Display struct {
		Name        string `yaml:"name"`
		Description string `yaml:"description"`
		Color       string `yaml:"background_color"`
	} `yaml:"display_information"`
	Features struct {
		Bot struct {
			Name   string `yaml:"display_name"`
			Online bool   `yaml:"always_online"`
		} `yaml:"bot_user"`
		Commands []struct {
			Command     string `yaml:"command"`
			URL         string `yaml:"url"`
			Description string `yaml:"description"`
			Hint        string `yaml:"usage_hint"`
			Escape      bool   `yaml:"should_escape"`
		} `yaml:"slash_commands"`
	} `yaml:"features"`
	OAuth struct {
		Scopes struct {
			Bot []string `yaml:"bot"`
		} `yaml:"scopes"`
	} `yaml:"oauth_config"`
	Settings struct {
		Interactivity struct {
			Enabled bool   `yaml:"is_enabled"`
			URL     string `yaml:"request_url"`
			Options string `yaml:"message_menu_options_url"`
		} `yaml:"interactivity"`
		Events struct {
			URL string   `yaml:"request_url"`
			Bot []string `yaml:"bot_events"`
		} `yaml:"event_subscriptions"`
		Org    bool `yaml:"org_deploy_enabled"`
		Socket bool `yaml:"socket_mode_enabled"`
		Rotate bool `yaml:"token_rotation_enabled"`
	} `yaml:"settings"`
}

func TestSlackApp(t *testing.T) {
	f, err := os.Open("slack/app.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var app slackApp
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&app); err != nil {
		t.Fatal(err)
	}
	within(t, "name", app.Display.Name, 35)
	within(t, "description", app.Display.Description, 140)
	within(t, "bot name", app.Features.Bot.Name, 80)
	var commands []string
	for _, c := range app.Features.Commands {
		commands = append(commands, c.Command)
		within(t, c.Command, c.Command, 32)
		within(t, c.Command+" hint", c.Hint, 1000)
		if !strings.HasSuffix(c.URL, "/slack/commands") {
			t.Errorf("%s goes to %s", c.Command, c.URL)
		}
		if !c.Escape {
			t.Errorf("%s: channels and people must arrive as ids", c.Command)
		}
	}
	if got, want := strings.Join(commands, " "), "/kovra /pipeline"; got != want {
		t.Errorf("commands %s, want %s", got, want)
	}
	for _, u := range []string{app.Settings.Interactivity.URL, app.Settings.Interactivity.Options} {
		if !strings.HasSuffix(u, "/slack/interactions") {
			t.Errorf("clicks go to %s", u)
		}
	}
	if !strings.HasSuffix(app.Settings.Events.URL, "/slack/events") || !app.Settings.Interactivity.Enabled || app.Settings.Socket {
		t.Errorf("settings: %+v", app.Settings)
	}
	if len(app.OAuth.Scopes.Bot) == 0 {
		t.Error("no scopes")
	}
}

func within(t *testing.T, what, s string, limit int) {
	t.Helper()
	if s == "" || len(s) > limit {
		t.Errorf("%s has %d characters, want 1 to %d", what, len(s), limit)
	}
}
