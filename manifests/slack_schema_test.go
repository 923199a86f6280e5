package manifests

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// shape is a part of Slack's schema of app manifests, in our words: what something must be,
// and its limits. Slack publishes the schema as manifest.schema.2.0.0.json in
// github.com/slackapi/manifest-schema; the limits below are those of November 2026. Unlike
// there, a key that is not known is refused everywhere, and so are the parts that belong to
// workflows that Slack hosts, to agents and to its marketplace, none of which we are.
type shape struct {
	kind     string           // "object", "list", "text" or "boolean"
	keys     map[string]shape // of an object
	required []string         // of an object
	entry    *shape           // of a list
	least    int              // characters of a text, entries of a list
	most     int              // the same; 0: no limit
	like     *regexp.Regexp   // a text
	oneOf    []string         // a text
	unique   bool             // the entries of a list
}

func object(keys map[string]shape, required ...string) shape {
	return shape{kind: "object", keys: keys, required: required}
}

func text(least, most int) shape { return shape{kind: "text", least: least, most: most} }

func textLike(pattern string, least, most int) shape {
	return shape{kind: "text", least: least, most: most, like: regexp.MustCompile(pattern)}
}

func listOf(entry shape, least, most int) shape {
	return shape{kind: "list", entry: &entry, least: least, most: most}
}

func setOf(entry shape, least, most int) shape {
	s := listOf(entry, least, most)
	s.unique = true
	return s
}

var boolean = shape{kind: "boolean"}

const anyURL = `^https?://`

// appManifest is the schema of the whole.
var appManifest = object(map[string]shape{
	"display_information": object(map[string]shape{
		"name":             text(1, 35),
		"description":      text(1, 140),
		"long_description": text(175, 4000),
		"background_color": textLike(`^#[0-9a-fA-F]{3}([0-9a-fA-F]{3})?$`, 4, 7),
	}, "name"),
	"features":     appFeatures,
	"oauth_config": appOAuth,
	"settings":     appSettings,
}, "display_information")

var appFeatures = object(map[string]shape{
	"app_home": object(map[string]shape{
		"home_tab_enabled":               boolean,
		"messages_tab_enabled":           boolean,
		"messages_tab_read_only_enabled": boolean,
	}),
	"bot_user": object(map[string]shape{"display_name": text(1, 80), "always_online": boolean}, "display_name"),
	"shortcuts": listOf(object(map[string]shape{
		"name":        text(1, 24),
		"type":        {kind: "text", oneOf: []string{"message", "global"}},
		"callback_id": text(1, 255),
		"description": text(1, 150),
	}, "name", "type", "callback_id", "description"), 1, 10),
	"slash_commands": listOf(object(map[string]shape{
		"command":       textLike(`^/`, 2, 32),
		"url":           textLike(anyURL, 0, 3000),
		"description":   text(1, 2000),
		"usage_hint":    text(1, 1000),
		"should_escape": boolean,
	}, "command", "description"), 1, 50),
	"unfurl_domains": setOf(textLike(`^[a-z0-9][-a-z0-9.]*[a-z0-9]$`, 0, 255), 1, 5),
})

var (
	scopeList = listOf(text(0, 50), 0, 255)
	eventList = setOf(text(0, 50), 0, 100)
)

var appOAuth = object(map[string]shape{
	"redirect_urls": setOf(text(0, 2500), 0, 1000),
	"scopes":        object(map[string]shape{"bot": scopeList, "user": scopeList, "bot_optional": scopeList, "user_optional": scopeList}),
	"pkce_enabled":  boolean, "token_management_enabled": boolean,
})

var appSettings = object(map[string]shape{
	"allowed_ip_address_ranges": setOf(textLike(`^(\d{1,3}\.){3}\d{1,3}(/\d{1,2})?$`, 0, 0), 1, 50),
	"event_subscriptions": object(map[string]shape{
		"request_url": textLike(anyURL, 0, 3500),
		"bot_events":  eventList,
		"user_events": eventList,
		"metadata_subscriptions": listOf(object(map[string]shape{
			"app_id": text(0, 0), "event_type": text(0, 50),
		}, "app_id", "event_type"), 1, 20),
	}),
	"incoming_webhooks": object(map[string]shape{"incoming_webhooks_enabled": boolean}),
	"interactivity": object(map[string]shape{
		"is_enabled":               boolean,
		"request_url":              textLike(anyURL, 0, 3500),
		"message_menu_options_url": textLike(anyURL, 0, 3500),
	}, "is_enabled"),
	"org_deploy_enabled":     boolean,
	"socket_mode_enabled":    boolean,
	"token_rotation_enabled": boolean,
})

// check says what is wrong with v, which stands at path.
func (s shape) check(path string, v any) []string {
	switch s.kind {
	case "object":
		return s.checkObject(path, v)
	case "list":
		return s.checkList(path, v)
	case "text":
		return s.checkText(path, v)
	}
	if _, is := v.(bool); !is {
		return []string{fmt.Sprintf("%s is no boolean: %v", path, v)}
	}
	return nil
}

func (s shape) checkObject(path string, v any) (problems []string) {
	o, is := v.(map[string]any)
	if !is {
		return []string{fmt.Sprintf("%s is no object: %v", path, v)}
	}
	for _, key := range s.required {
		if _, is := o[key]; !is {
			problems = append(problems, fmt.Sprintf("%s/%s is missing", path, key))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		part, known := s.keys[key]
		if !known {
			problems = append(problems, fmt.Sprintf("%s/%s is not known", path, key))
			continue
		}
		problems = append(problems, part.check(path+"/"+key, o[key])...)
	}
	return problems
}

func (s shape) checkList(path string, v any) (problems []string) {
	list, is := v.([]any)
	if !is {
		return []string{fmt.Sprintf("%s is no list: %v", path, v)}
	}
	if n := len(list); n < s.least || n > s.most {
		problems = append(problems, fmt.Sprintf("%s has %d entries, want %d to %d", path, n, s.least, s.most))
	}
	seen := map[any]bool{}
	for i, one := range list {
		problems = append(problems, s.entry.check(path+"/"+strconv.Itoa(i), one)...)
		if word, is := one.(string); is && s.unique {
			if seen[word] {
				problems = append(problems, fmt.Sprintf("%s has %q twice", path, word))
			}
			seen[word] = true
		}
	}
	return problems
}

func (s shape) checkText(path string, v any) []string {
	word, is := v.(string)
	switch n := utf8.RuneCountInString(word); {
	case !is:
		return []string{fmt.Sprintf("%s is no text: %v", path, v)}
	case n < s.least || s.most > 0 && n > s.most:
		return []string{fmt.Sprintf("%s has %d characters, want %d to %d", path, n, s.least, s.most)}
	case s.like != nil && !s.like.MatchString(word):
		return []string{fmt.Sprintf("%s does not look like %s: %q", path, s.like, word)}
	case len(s.oneOf) > 0 && !slices.Contains(s.oneOf, word):
		return []string{fmt.Sprintf("%s is none of %v: %q", path, s.oneOf, word)}
	}
	return nil
}
