package slacksim

import (
	"maps"
	"slices"
	"strings"
)

// Rule says which scopes of the bot something needs, as Slack's reference documents it. A
// rule without scopes needs none.
type Rule struct {
	// Always are needed, all of them.
	Always []string
	// ByKind holds, for what is about a conversation, the one that is needed for its kind:
	// "public_channel", "private_channel", "im" or "mpim".
	ByKind map[string]string
}

// Scopes are all that the rule may ask for, sorted.
func (r Rule) Scopes() []string {
	all := append(slices.Clone(r.Always), slices.Collect(maps.Values(r.ByKind))...)
	slices.Sort(all)
	return slices.Compact(all)
}

// Scopes of what is no method and no event.
const (
	ScopeCommands = "commands"         // slash commands and shortcuts
	scopeEmail    = "users:read.email" // the address in a profile
)

func always(scopes ...string) Rule { return Rule{Always: scopes} }

func byKind(class string) Rule {
	return Rule{ByKind: map[string]string{
		"public_channel": "channels:" + class, "private_channel": "groups:" + class, "im": "im:" + class, "mpim": "mpim:" + class,
	}}
}

// inChannels is what is only told of channels, not of direct conversations.
var inChannels = Rule{ByKind: map[string]string{"public_channel": "channels:read", "private_channel": "groups:read"}}

// MethodScopes says what each method of the Web API that the server knows needs.
func MethodScopes() map[string]Rule { return maps.Clone(methodScopes) }

var methodScopes = map[string]Rule{
	"auth.test":                    {},
	"bots.info":                    always("users:read"),
	"chat.delete":                  always("chat:write"),
	"chat.getPermalink":            {},
	"chat.postEphemeral":           always("chat:write"),
	"chat.postMessage":             always("chat:write"),
	"chat.update":                  always("chat:write"),
	"conversations.history":        byKind("history"),
	"conversations.info":           byKind("read"),
	"conversations.join":           always("channels:join"),
	"conversations.list":           byKind("read"),
	"conversations.members":        byKind("read"),
	"conversations.open":           {ByKind: map[string]string{"im": "im:write", "mpim": "mpim:write"}},
	"conversations.replies":        byKind("history"),
	"files.completeUploadExternal": always("files:write"),
	"files.getUploadURLExternal":   always("files:write"),
	"reactions.add":                always("reactions:write"),
	"usergroups.users.list":        always("usergroups:read"),
	"users.conversations":          byKind("read"),
	"users.info":                   always("users:read"),
	"users.list":                   always("users:read"),
	"users.lookupByEmail":          always(scopeEmail),
	"views.open":                   {},
	"views.publish":                {},
	"views.push":                   {},
	"views.update":                 {},
}

// EventScopes says what each event that the server knows needs, beside a subscription.
func EventScopes() map[string]Rule { return maps.Clone(eventScopes) }

var eventScopes = map[string]Rule{
	"app_home_opened":       {},
	"app_mention":           always("app_mentions:read"),
	"app_uninstalled":       {},
	"channel_archive":       always("channels:read"),
	"channel_deleted":       always("channels:read"),
	"channel_left":          always("channels:read"),
	"channel_rename":        always("channels:read"),
	"channel_shared":        inChannels,
	"channel_unarchive":     always("channels:read"),
	"channel_unshared":      inChannels,
	"group_archive":         always("groups:read"),
	"group_deleted":         always("groups:read"),
	"group_left":            always("groups:read"),
	"group_rename":          always("groups:read"),
	"group_unarchive":       always("groups:read"),
	"member_joined_channel": inChannels,
	"member_left_channel":   inChannels,
	"message":               byKind("history"),
	"team_join":             always("users:read"),
	"tokens_revoked":        {},
	"user_change":           always("users:read"),
}

// granted says whether the app has a scope; the lock is held.
func (s *Server) granted(scope string) bool {
	return s.o.Scopes == nil || slices.Contains(s.o.Scopes, scope)
}

// lacks names the first scope that is missing for a conversation of that kind; "" means
// that nothing is. A kind that is not known, because there is no such conversation or the
// bot may not know of it, is satisfied by any one of the scopes.
func (s *Server) lacks(r Rule, kind string) string {
	for _, scope := range r.Always {
		if !s.granted(scope) {
			return scope
		}
	}
	if scope, is := r.ByKind[kind]; is {
		if s.granted(scope) {
			return ""
		}
		return scope
	}
	if len(r.ByKind) == 0 || slices.ContainsFunc(slices.Collect(maps.Values(r.ByKind)), s.granted) {
		return ""
	}
	return strings.Join(r.Scopes(), ",")
}

// checkScopes is Slack's refusal of a method that the app has no scope for, or nil.
func (s *Server) checkScopes(method string, a args) reply {
	rule := methodScopes[method]
	for _, kind := range s.kindsOf(method, a) {
		if needed := s.lacks(rule, kind); needed != "" {
			r := fail("missing_scope")
			r["needed"], r["provided"] = needed, s.provided()
			return r
		}
	}
	return nil
}

// provided is the list of scopes as Slack writes it.
func (s *Server) provided() string {
	if s.o.Scopes != nil {
		return strings.Join(s.o.Scopes, ",")
	}
	all := []string{ScopeCommands}
	for _, rules := range []map[string]Rule{methodScopes, eventScopes} {
		for _, r := range rules {
			all = append(all, r.Scopes()...)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}

// kindsOf says which kinds of conversations a call is about; an unknown one is "".
func (s *Server) kindsOf(method string, a args) []string {
	switch method {
	case "conversations.list", "users.conversations":
		if types := a.list("types"); len(types) > 0 {
			return types
		}
		return []string{"public_channel"}
	case "conversations.open":
		if len(a.list("users")) > 1 {
			return []string{"mpim"}
		}
		return []string{"im"}
	}
	return []string{s.kindFor(a.str("channel"))}
}

// kindFor is the kind of a conversation as far as the bot may know.
func (s *Server) kindFor(id string) string {
	c := s.channels[id]
	if c == nil || c.Private && !c.has(BotUserID) {
		return ""
	}
	return c.kind()
}

// sends says whether an event reaches the app: it is subscribed, and has the scope.
func (s *Server) sends(inner any) bool {
	m, _ := inner.(map[string]any)
	kind, _ := m["type"].(string)
	if s.o.Events != nil && !slices.Contains(s.o.Events, s.subscription(kind, m)) {
		return false
	}
	rule, known := eventScopes[kind]
	return !known || s.lacks(rule, s.kindFor(channelOf(m))) == ""
}

// subscription is the name under which an event is subscribed to: that of messages says
// where they were written.
func (s *Server) subscription(kind string, m map[string]any) string {
	if kind != "message" {
		return kind
	}
	class := map[string]string{"public_channel": "channels", "private_channel": "groups", "im": "im", "mpim": "mpim"}
	return kind + "." + class[s.kindFor(channelOf(m))]
}

func channelOf(event map[string]any) string {
	id, _ := event["channel"].(string)
	return id
}
