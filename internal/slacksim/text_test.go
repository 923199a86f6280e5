package slacksim_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/slacksim"
)

func TestMrkdwnAsRead(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"bold", "*a b* and _c_ and ~d~", "a b and c and d"},
		{"bold around a link", "*<https://x|web>* ok", "web ok"},
		{"stars that are no marks", "2*3*4 and * x * and a*", "2*3*4 and * x * and a*"},
		{"names with underscores", "deploy_to_web _x_", "deploy_to_web x"},
		{"entities", "&lt;b&gt; &amp;amp;", "<b> &amp;"},
		{"link without text", "<https://x/a?b=1&amp;c>", "https://x/a?b=1&c"},
		{"code is kept as it is", "`*a* &lt;` b", "`*a* <` b"},
		{"fence is kept as it is", "```\n*a*\n_b_ &gt;\n```", "```\n*a*\n_b_ >\n```"},
		{"fence in one line", "```x```", "```\nx\n```"},
		{"person", "<@U1> <@U9> <@U9|eve>", "@alice @U9 @eve"},
		{"channel", "<#C1> <#C9|x>", "#deploys #x"},
		{"everybody", "<!channel> <!here> &lt;!channel&gt; @channel", "«@channel» «@here» <!channel> @channel"},
		{"group", "<!subteam^S1|@ops> <!subteam^S2>", "«@ops» «@S2»"},
		{"date", "<!date^1800000000^{date_num} {time_secs}|x>", "2027-01-15 8:00:00 AM"},
		{"long dates", "<!date^1800000000^{date} / {date_short} / {date_long} / {time}|x>", "January 15th, 2027 / Jan 15, 2027 / Friday, January 15th, 2027 / 8:00 AM"},
		{"date with link", "<!date^0^{date_num}^https://x|x>", "1970-01-01"},
		{"ago", "<!date^1800000000^{ago}|x>", "2027-01-15 08:00:00 UTC"},
		{"malformed date", "<!date^x^{date}|then>", "then"},
	}
	w := newWorld(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "text": {tt.in}})["ts"].(string)
			m, _ := w.Message("C1", ts)
			if got := slacksim.Text(m); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestBlocksAsRead(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", `[
	{"type":"header","text":{"type":"plain_text","text":"web *main*"}},
	{"type":"section","text":{"type":"mrkdwn","text":"*Running*\nsince <!date^0^{time}|x>"},"fields":[{"type":"mrkdwn","text":"*Ref*\nmain"}],
	 "accessory":{"type":"button","url":"https://x/log","text":{"type":"plain_text","text":"Log"}}},
	{"type":"divider"},
	{"type":"context","elements":[{"type":"image","image_url":"https://x/a.png","alt_text":"avatar"},{"type":"mrkdwn","text":"by <@U1>"}]},
	{"type":"actions","elements":[
	 {"type":"button","text":{"type":"plain_text","text":"Retry"}},
	 {"type":"button","text":{"type":"plain_text","text":"Cancel"},"confirm":{"title":{"type":"plain_text","text":"Cancel 7?"},"text":{"type":"plain_text","text":"x"},"confirm":{"type":"plain_text","text":"y"},"deny":{"type":"plain_text","text":"n"}}},
	 {"type":"static_select","placeholder":{"type":"plain_text","text":"Env"},"options":[{"text":{"type":"plain_text","text":"S"},"value":"s"}]},
	 {"type":"overflow","options":[{"text":{"type":"plain_text","text":"Jobs"},"value":"j"},{"text":{"type":"plain_text","text":"Raw"},"value":"r"}]},
	 {"type":"checkboxes","options":[{"text":{"type":"plain_text","text":"A"},"value":"a"},{"text":{"type":"plain_text","text":"B"},"value":"b"}],"initial_options":[{"text":{"type":"plain_text","text":"B"},"value":"b"}]}]},
	{"type":"rich_text","elements":[
	 {"type":"rich_text_section","elements":[{"type":"text","text":"see ","style":{"bold":true}},{"type":"link","url":"https://x","text":"here"},{"type":"broadcast","range":"here"}]},
	 {"type":"rich_text_list","style":"ordered","elements":[{"type":"rich_text_section","elements":[{"type":"user","user_id":"U2"}]}]},
	 {"type":"rich_text_preformatted","elements":[{"type":"text","text":"a\nb"}]},
	 {"type":"rich_text_quote","elements":[{"type":"text","text":"q"}]}]},
	{"type":"image","image_url":"https://x/a.png","alt_text":"chart"},
	{"type":"table","rows":[[{"type":"raw_text","text":"a"},{"type":"raw_text","text":"b"}]]},
	{"type":"alert","text":{"type":"plain_text","text":"x"}}]`)
	want := `# web *main*
Running  [Log ↗]
since 12:00 AM
  Ref main
---
  [image: avatar]  by @alice
[Retry] [Cancel (asks: Cancel 7?)] [▾ Env…] [⋯ Jobs | Raw] [ ] A  [x] B
see here«@here»
1. @bob
` + "```\na\nb\n```" + `
> q
[image: chart]
a | b
[alert]`
	if diff := cmp.Diff(want, slacksim.Text(m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"!here", "@U1", "@U2"}, slacksim.Mentions(m)); diff != "" {
		t.Errorf("mentions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"https://x/log", "https://x"}, slacksim.Links(m)); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Log", "Retry", "Cancel", "Jobs", "Raw"}, slacksim.Buttons(m.Tree)); diff != "" {
		t.Errorf("buttons (-want +got):\n%s", diff)
	}
}

func TestMentionsAreOnlyRealOnes(t *testing.T) {
	m := slacksim.Message{
		Text:   "&lt;!channel&gt; @here <!date^0^{date}|x> <!everyone> <https://x|@U1>",
		Blocks: json.RawMessage(`[{"type":"section","text":{"type":"plain_text","text":"<!channel> <@U1>"}}]`),
	}
	if diff := cmp.Diff([]string{"!everyone"}, slacksim.Mentions(m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzText checks that any text that Slack takes can be painted.
func FuzzText(f *testing.F) {
	f.Add("*a* `b` ```c``` <!date^1^{date}|x> <@U1|> <#> <!> <|>")
	f.Fuzz(func(t *testing.T, text string) {
		m := slacksim.Message{Text: text}
		slacksim.Text(m)
		slacksim.Mentions(m)
		slacksim.Links(m)
	})
}

// TestOverSockets plays one story over real HTTP, where a lost reply is a cut
// connection and the server learns its own address.
func TestOverSockets(t *testing.T) {
	a := &app{}
	appServer := httptest.NewServer(a)
	defer appServer.Close()
	sim := slacksim.New(slacksim.Options{})
	simServer := httptest.NewServer(sim)
	defer simServer.Close()
	sim.SetRequestURL(appServer.URL)
	sim.AddUser(slacksim.User{ID: "U1", Name: "alice"})
	sim.AddChannel(slacksim.Channel{ID: "C1", Name: "deploys", Members: []string{"U1"}})
	sim.Invite("C1", slacksim.BotUserID)
	api := slack.New("xoxb-sim", slack.OptionAPIURL(simServer.URL+"/api/"))
	sim.Fault(slacksim.LoseReply("chat.postMessage"))
	if _, _, err := api.PostMessageContext(t.Context(), "C1", slack.MsgOptionText("x", false)); err == nil {
		t.Error("the reply was not lost")
	}
	if len(sim.Messages("C1")) != 1 {
		t.Error("it was not done")
	}
	seen, err := sim.Slash(t.Context(), "U1", "C1", "/pipeline")
	if err != nil || !strings.HasPrefix(seen.ResponseURL, simServer.URL+"/response/") {
		t.Fatalf("got %+v, %v", seen, err)
	}
	if err := slack.PostWebhookContext(t.Context(), seen.ResponseURL, &slack.WebhookMessage{Text: "late"}); err != nil {
		t.Fatal(err)
	}
	if got := sim.Ephemerals("U1"); len(got) != 1 || got[0].Text != "late" {
		t.Errorf("got %+v", got)
	}
}
