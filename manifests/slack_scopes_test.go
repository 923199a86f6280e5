package manifests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/slacksim"
)

// speakers are the packages that may speak with Slack; the linter keeps all others from it.
var speakers = []string{"bot", "webhooks"}

// methodsOf says which methods of the Web API a method of slack-go's client calls.
var methodsOf = map[string]string{
	"AuthTestContext":                "auth.test",
	"DeleteMessageContext":           "chat.delete",
	"GetConversationHistoryContext":  "conversations.history",
	"GetConversationInfoContext":     "conversations.info",
	"GetConversationRepliesContext":  "conversations.replies",
	"GetConversationsContext":        "conversations.list",
	"GetConversationsForUserContext": "users.conversations",
	"GetPermalinkContext":            "chat.getPermalink",
	"GetUserByEmailContext":          "users.lookupByEmail",
	"GetUserGroupMembersContext":     "usergroups.users.list",
	"GetUserInfoContext":             "users.info",
	"GetUsersInConversationContext":  "conversations.members",
	"GetUsersPaginated":              "users.list",
	"JoinConversationContext":        "conversations.join",
	"OpenConversationContext":        "conversations.open",
	"OpenViewContext":                "views.open",
	"PostEphemeralContext":           "chat.postEphemeral",
	"PostMessageContext":             "chat.postMessage",
	"PublishViewContext":             "views.publish",
	"PushViewContext":                "views.push",
	"StartSocketModeContext":         "", // by the app-level token: connections:write is no scope of the bot
	"UpdateMessageContext":           "chat.update",
	"UpdateViewContext":              "views.update",
}

// kinds says of which conversations a method is asked, where it is not channels alone: direct
// messages are opened, written, and looked through after a crash. We are in no direct
// conversation of several.
var kinds = map[string][]string{
	"conversations.open":    {"im"},
	"conversations.history": {"public_channel", "private_channel", "im"},
	"conversations.replies": {"public_channel", "private_channel", "im"},
}

var channelKinds = []string{"public_channel", "private_channel"}

// unsubscribed are events that the handler understands and does without: what they tell
// is found out when a channel is used next, at most five minutes later.
var unsubscribed = []string{
	"channel_archive", "channel_deleted", "channel_left", "group_archive", "group_deleted", "group_left",
}

// spoken is what the program says to Slack and understands of it, found in the source.
type spoken struct {
	methods, events map[string]bool
}

// listen reads the source of the speakers: calls of slack-go's client, which is always called
// api, and every text that is the name of a method or an event.
func listen(t *testing.T) spoken {
	t.Helper()
	s := spoken{map[string]bool{}, map[string]bool{}}
	methods, events := slacksim.MethodScopes(), slacksim.EventScopes()
	fset := token.NewFileSet()
	for _, dir := range speakers {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no source in %s: %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					s.call(t, fset, n)
				case *ast.AssignStmt:
					checkName(t, fset, n)
				case *ast.BasicLit:
					word, _ := strconv.Unquote(n.Value)
					if _, is := methods[word]; is {
						s.methods[word] = true
					}
					// "message" is a word of many; as an event it is message.im and the like.
					if _, is := events[word]; is && dir == "bot" && word != "message" {
						s.events[word] = true
					}
				}
				return true
			})
		}
	}
	return s
}

// call notes what a selector like c.api().PostMessageContext calls.
func (s spoken) call(t *testing.T, fset *token.FileSet, sel *ast.SelectorExpr) {
	t.Helper()
	on, from := "", sel.X
	if made, is := from.(*ast.CallExpr); is {
		from = made.Fun
	}
	switch x := from.(type) {
	case *ast.Ident:
		on = x.Name
	case *ast.SelectorExpr:
		on = x.Sel.Name
	}
	if on != "api" {
		return
	}
	method, known := methodsOf[sel.Sel.Name]
	if !known {
		t.Errorf("%s: which methods of Slack does %s call? Say it in methodsOf", fset.Position(sel.Pos()), sel.Sel.Name)
		return
	}
	if method != "" {
		s.methods[method] = true
	}
}

// checkName wants every client of slack-go to be called api, or its calls would be overheard.
func checkName(t *testing.T, fset *token.FileSet, n *ast.AssignStmt) {
	t.Helper()
	for i, right := range n.Rhs {
		call, is := right.(*ast.CallExpr)
		if !is {
			continue
		}
		made, is := call.Fun.(*ast.SelectorExpr)
		if !is || made.Sel.Name != "New" {
			continue
		}
		if pkg, is := made.X.(*ast.Ident); !is || pkg.Name != "slack" {
			continue
		}
		name := ""
		switch left := n.Lhs[i].(type) {
		case *ast.Ident:
			name = left.Name
		case *ast.SelectorExpr:
			name = left.Sel.Name
		}
		if name != "api" {
			t.Errorf("%s: a client of Slack is called %s", fset.Position(n.Pos()), name)
		}
	}
}

// need adds why each scope of a rule is needed.
func need(why map[string][]string, rule slacksim.Rule, kinds []string, what string) {
	for _, scope := range rule.Always {
		why[scope] = append(why[scope], what)
	}
	for _, kind := range kinds {
		if scope, is := rule.ByKind[kind]; is {
			why[scope] = append(why[scope], what)
		}
	}
}

// TestScopesAreThoseThatAreUsed: the manifests list no scope that the program does not use,
// and the program uses none that is not listed.
func TestScopesAreThoseThatAreUsed(t *testing.T) {
	used := listen(t)
	if !used.methods["chat.postMessage"] || !used.methods["conversations.history"] || !used.events["member_joined_channel"] {
		t.Fatalf("the search finds too little: %v", used)
	}
	for _, name := range []string{"app.yaml", "app-socket.yaml"} {
		t.Run(name, func(t *testing.T) {
			app := readApp(t, name)
			events := words(at(app, "settings", "event_subscriptions", "bot_events"))
			checkEvents(t, used, events)
			checkScopes(t, words(at(app, "oauth_config", "scopes", "bot")), needed(used, events))
		})
	}
}

// needed says for each scope what needs it.
func needed(used spoken, events []string) map[string][]string {
	why := map[string][]string{slacksim.ScopeCommands: {"commands and shortcuts"}}
	for method, rule := range slacksim.MethodScopes() {
		if !used.methods[method] {
			continue
		}
		of := kinds[method]
		if of == nil {
			of = channelKinds
		}
		need(why, rule, of, method)
	}
	for _, event := range events {
		need(why, slacksim.EventScopes()[event], channelKinds, event)
	}
	return why
}

func checkEvents(t *testing.T, used spoken, events []string) {
	t.Helper()
	for _, event := range events {
		if _, known := slacksim.EventScopes()[event]; !known {
			t.Errorf("which scopes does %s need? The simulator does not know it", event)
		}
		if !used.events[event] {
			t.Errorf("%s is subscribed to, and nobody takes it", event)
		}
	}
	for event := range used.events {
		if !slices.Contains(events, event) && !slices.Contains(unsubscribed, event) {
			t.Errorf("%s is handled, and not subscribed to", event)
		}
	}
}

func checkScopes(t *testing.T, scopes []string, why map[string][]string) {
	t.Helper()
	for _, scope := range scopes {
		if len(why[scope]) == 0 {
			t.Errorf("%s is asked for, and nothing needs it", scope)
		}
	}
	for scope, what := range why {
		if !slices.Contains(scopes, scope) {
			t.Errorf("%s is not asked for, but %v need it", scope, what)
		}
	}
	if sorted := slices.Sorted(slices.Values(scopes)); len(slices.Compact(sorted)) != len(scopes) {
		t.Error("a scope is listed twice")
	}
}

// TestSimulatorKnowsWhatIsUsed: what has no rule there would be granted in every test.
func TestSimulatorKnowsWhatIsUsed(t *testing.T) {
	rules := slacksim.MethodScopes()
	for _, method := range methodsOf {
		if _, known := rules[method]; !known && method != "" {
			t.Errorf("%s has no rule in the simulator", method)
		}
	}
	if _, err := os.Stat(filepath.Join("..", "bot", "client.go")); err != nil {
		t.Error(err) // the search would look in the wrong place
	}
}
