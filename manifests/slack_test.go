package manifests

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// readApp reads a manifest of Slack as plain values.
func readApp(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("slack", name))
	if err != nil {
		t.Fatal(err)
	}
	return parseApp(t, string(text))
}

func parseApp(t *testing.T, text string) map[string]any {
	t.Helper()
	var app map[string]any
	if err := yaml.Unmarshal([]byte(text), &app); err != nil {
		t.Fatal(err)
	}
	return app
}

// at walks into maps; nil where there is nothing.
func at(v any, path ...string) any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// words are a list of strings.
func words(v any) []string {
	list, _ := v.([]any)
	out := []string{}
	for _, one := range list {
		s, _ := one.(string)
		out = append(out, s)
	}
	return out
}

func TestSlackAppsAreValid(t *testing.T) {
	for _, name := range []string{"app.yaml", "app-socket.yaml"} {
		for _, problem := range appManifest.check(name, readApp(t, name)) {
			t.Error(problem)
		}
	}
}

// TestSlackAppsDifferOnlyInTheWay: by HTTP every surface has an address, in Socket Mode none
// has; all else is equal.
func TestSlackAppsDifferOnlyInTheWay(t *testing.T) {
	overHTTP, socket := readApp(t, "app.yaml"), readApp(t, "app-socket.yaml")
	want := map[string]string{
		"/features/slash_commands//url": "/slack/commands", "/settings/interactivity/request_url": "/slack/interactions",
		"/settings/interactivity/message_menu_options_url": "/slack/interactions", "/settings/event_subscriptions/request_url": "/slack/events",
	}
	got := map[string]string{}
	takeURLs(overHTTP, "", func(path, url string) { got[path] = strings.TrimPrefix(url, "https://kovra.example.com") })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses of app.yaml (-want +got):\n%s", diff)
	}
	takeURLs(socket, "", func(path, url string) { t.Errorf("app-socket.yaml: %s is %s", path, url) })
	for app, on := range map[string]bool{"app.yaml": false, "app-socket.yaml": true} {
		settings, _ := at(map[string]any{"app.yaml": overHTTP, "app-socket.yaml": socket}[app], "settings").(map[string]any)
		if settings["socket_mode_enabled"] != on {
			t.Errorf("%s: Socket Mode is %v", app, settings["socket_mode_enabled"])
		}
		delete(settings, "socket_mode_enabled")
	}
	if diff := cmp.Diff(overHTTP, socket); diff != "" {
		t.Errorf("they differ (-app.yaml +app-socket.yaml):\n%s", diff)
	}
}

// takeURLs takes the addresses out of a manifest.
func takeURLs(v any, path string, took func(path, url string)) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			takeURLs(one, path+"/", took)
		}
	case map[string]any:
		for key, one := range v {
			if url, is := one.(string); is && strings.HasSuffix(key, "url") {
				took(path+"/"+key, url)
				delete(v, key)
				continue
			}
			takeURLs(one, path+"/"+key, took)
		}
	}
}

func TestSlackAppHasWhatTheBotAnswers(t *testing.T) {
	app := readApp(t, "app.yaml")
	var commands []string
	for _, c := range at(app, "features", "slash_commands").([]any) {
		name, _ := at(c, "command").(string)
		commands = append(commands, name)
		if at(c, "should_escape") != true {
			t.Errorf("%s: channels and people must arrive as ids", name)
		}
	}
	if diff := cmp.Diff([]string{"/kovra", "/pipeline", "/build"}, commands); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	want := map[string]any{"home_tab_enabled": true, "messages_tab_enabled": true, "messages_tab_read_only_enabled": false}
	if diff := cmp.Diff(want, at(app, "features", "app_home")); diff != "" {
		t.Errorf("Home (-want +got):\n%s", diff)
	}
	if at(app, "settings", "interactivity", "is_enabled") != true {
		t.Error("nobody could click")
	}
	if got := at(app, "features", "shortcuts").([]any); len(got) != 1 || at(got[0], "callback_id") != "thread_actions" || at(got[0], "type") != "message" {
		t.Errorf("shortcuts %v", got)
	}
}

// TestEveryScopeSaysWhy: who installs the app reads the manifest, and each line but those
// that are the same for private channels says what it is for.
func TestEveryScopeSaysWhy(t *testing.T) {
	for _, name := range []string{"app.yaml", "app-socket.yaml"} {
		text, err := os.ReadFile(filepath.Join("slack", name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			item, is := strings.CutPrefix(strings.TrimRight(line, "\n"), "      - ")
			if !is || strings.Contains(item, ":") && strings.Contains(item, ": ") {
				continue // no scope and no event
			}
			scope, why, _ := strings.Cut(item, " # ")
			pair := slices.Contains([]string{"groups:history", "group_unarchive", "channel_unshared", "member_left_channel"}, scope)
			if why == "" && !pair {
				t.Errorf("%s: %s has no reason", name, scope)
			}
		}
	}
}

// TestSchemaRefuses shows that the rules can find things.
func TestSchemaRefuses(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct{ name, app, want string }{
		{"nothing", `{}`, "/display_information is missing"},
		{"unknown part", `{display_information: {name: K}, feature: {}}`, "/feature is not known"},
		{"unknown key", `{display_information: {name: K, colour: red}}`, "/display_information/colour is not known"},
		{"long name", `{display_information: {name: ` + long(36) + `}}`, "/display_information/name has 36 characters, want 1 to 35"},
		{"short long description", `{display_information: {name: K, long_description: x}}`, "want 175 to 4000"},
		{"colour", `{display_information: {name: K, background_color: blue}}`, "does not look like"},
		{"no bot name", `{display_information: {name: K}, features: {bot_user: {}}}`, "/features/bot_user/display_name is missing"},
		{"a text for a switch", `{display_information: {name: K}, features: {app_home: {home_tab_enabled: "yes"}}}`, "is no boolean"},
		{"command without slash", `{display_information: {name: K}, features: {slash_commands: [{command: kovra, description: d}]}}`, "does not look like"},
		{"command without description", `{display_information: {name: K}, features: {slash_commands: [{command: /kovra}]}}`, "/features/slash_commands/0/description is missing"},
		{"no commands in the list", `{display_information: {name: K}, features: {slash_commands: []}}`, "has 0 entries, want 1 to 50"},
		{"a url that is none", `{display_information: {name: K}, features: {slash_commands: [{command: /k, description: d, url: "ftp://x"}]}}`, "does not look like"},
		{"kind of shortcut", `{display_information: {name: K}, features: {shortcuts: [{name: a, type: thread, callback_id: c, description: d}]}}`, "is none of [message global]"},
		{"long shortcut", `{display_information: {name: K}, features: {shortcuts: [{name: ` + long(25) + `, type: global, callback_id: c, description: d}]}}`, "want 1 to 24"},
		{"long scope", `{display_information: {name: K}, oauth_config: {scopes: {bot: [` + long(51) + `]}}}`, "/oauth_config/scopes/bot/0 has 51 characters"},
		{"event twice", `{display_information: {name: K}, settings: {event_subscriptions: {bot_events: [a, a]}}}`, `has "a" twice`},
		{"interactivity without a word", `{display_information: {name: K}, settings: {interactivity: {}}}`, "/settings/interactivity/is_enabled is missing"},
		{"a list for a map", `{display_information: [K]}`, "is no object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := appManifest.check("", parseApp(t, tt.app))
			if len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("got %q, want one problem with %q", got, tt.want)
			}
		})
	}
	keys := slices.Sorted(maps.Keys(appManifest.keys))
	if len(keys) < 4 {
		t.Errorf("the schema has %v", keys)
	}
}
