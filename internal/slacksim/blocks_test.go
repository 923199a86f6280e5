package slacksim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
)

type obj = map[string]any

func plain(n int) obj { return obj{"type": "plain_text", "text": strings.Repeat("x", n)} }

func mrkdwn(n int) obj { return obj{"type": "mrkdwn", "text": strings.Repeat("x", n)} }

func many(n int, f func(i int) any) []any {
	out := []any{}
	for i := range n {
		out = append(out, f(i))
	}
	return out
}

func with(o obj, k string, v any) obj {
	out := obj{}
	maps.Copy(out, o)
	out[k] = v
	return out
}

func button(i int) obj {
	return obj{"type": "button", "action_id": fmt.Sprint("a", i), "text": plain(3)}
}

func options(n, text, value int) []any {
	return many(n, func(i int) any {
		return obj{"text": plain(text), "value": fmt.Sprint(i) + strings.Repeat("v", value-len(fmt.Sprint(i)))}
	})
}

func section(more obj) obj {
	out := obj{"type": "section", "text": mrkdwn(1)}
	maps.Copy(out, more)
	return out
}

func actions(e ...any) obj { return obj{"type": "actions", "elements": e} }

func confirm(title, text, yes int) obj {
	return obj{"title": plain(title), "text": plain(text), "confirm": plain(yes), "deny": plain(yes)}
}

// TestInvalidBlocks holds a pair for each limit: the largest thing that Slack
// takes, and one more.
func TestInvalidBlocks(t *testing.T) {
	selecting := func(o []any) obj {
		return obj{"type": "static_select", "action_id": "s", "placeholder": plain(1), "options": o}
	}
	tests := []struct {
		name      string
		good, bad any // a block, or a list of blocks
		at        string
	}{
		{"50 blocks", many(50, func(int) any { return obj{"type": "divider"} }), many(51, func(int) any { return obj{"type": "divider"} }), "/blocks"},
		{"section text 3000", section(obj{"text": mrkdwn(3000)}), section(obj{"text": mrkdwn(3001)}), "/blocks/0/text"},
		{"section text is needed", section(nil), obj{"type": "section"}, "/blocks/0"},
		{"section text is an object", section(nil), section(obj{"text": "x"}), "/blocks/0/text"},
		{"section text is not empty", section(nil), section(obj{"text": mrkdwn(0)}), "/blocks/0/text"},
		{"10 fields", section(obj{"fields": many(10, func(int) any { return mrkdwn(1) })}), section(obj{"fields": many(11, func(int) any { return mrkdwn(1) })}), "/fields"},
		{"field 2000", section(obj{"fields": []any{mrkdwn(2000)}}), section(obj{"fields": []any{mrkdwn(2001)}}), "/fields/0"},
		{"header 150", obj{"type": "header", "text": plain(150)}, obj{"type": "header", "text": plain(151)}, "/text"},
		{"header is plain", obj{"type": "header", "text": plain(1)}, obj{"type": "header", "text": mrkdwn(1)}, "/text/type"},
		{"context 10", obj{"type": "context", "elements": many(10, func(int) any { return mrkdwn(1) })}, obj{"type": "context", "elements": many(11, func(int) any { return mrkdwn(1) })}, "/elements"},
		{"context is not empty", obj{"type": "context", "elements": []any{plain(1)}}, obj{"type": "context", "elements": []any{}}, "/elements"},
		{"actions 25", actions(many(25, func(i int) any { return button(i) })...), actions(many(26, func(i int) any { return button(i) })...), "/elements"},
		{"button text 75", actions(with(button(1), "text", plain(75))), actions(with(button(1), "text", plain(76))), "/text"},
		{"button text is plain", actions(button(1)), actions(with(button(1), "text", mrkdwn(2))), "/text/type"},
		{"button text is needed", actions(button(1)), actions(obj{"type": "button", "action_id": "x"}), "/elements/0"},
		{"button value 2000", actions(with(button(1), "value", strings.Repeat("v", 2000))), actions(with(button(1), "value", strings.Repeat("v", 2001))), "/value"},
		{"button url 3000", actions(with(button(1), "url", "https://x/"+strings.Repeat("v", 2990))), actions(with(button(1), "url", "https://x/"+strings.Repeat("v", 2991))), "/url"},
		{"button url is a url", actions(with(button(1), "url", "https://x")), actions(with(button(1), "url", "nowhere")), "/url"},
		{"button style", actions(with(button(1), "style", "danger")), actions(with(button(1), "style", "blue")), "/style"},
		{"action_id 255", actions(with(button(1), "action_id", strings.Repeat("v", 255))), actions(with(button(1), "action_id", strings.Repeat("v", 256))), "/action_id"},
		{"action_id once in a block", []any{actions(button(1)), actions(button(1))}, actions(button(1), button(1)), "/action_id"},
		{"block_id 255", section(obj{"block_id": strings.Repeat("v", 255)}), section(obj{"block_id": strings.Repeat("v", 256)}), "/block_id"},
		{"block_id once", []any{section(obj{"block_id": "a"}), section(obj{"block_id": "b"})}, []any{section(obj{"block_id": "a"}), section(obj{"block_id": "a"})}, "/blocks/1/block_id"},
		{"unknown block", section(nil), obj{"type": "nope"}, "/type"},
		{"block without type", section(nil), obj{}, "/blocks/0"},
		{"block is an object", section(nil), []any{"x"}, "/blocks/0"},
		{"unknown key", section(nil), section(obj{"colour": "red"}), "/blocks/0"},
		{"unknown element", actions(button(1)), actions(obj{"type": "nope"}), "/type"},
		{"text input only in input blocks", obj{"type": "input", "label": plain(1), "element": obj{"type": "plain_text_input"}}, actions(obj{"type": "plain_text_input"}), "/type"},
		{"input label", obj{"type": "input", "label": plain(2000), "element": obj{"type": "plain_text_input"}}, obj{"type": "input", "label": plain(2001), "element": obj{"type": "plain_text_input"}}, "/label"},
		{"input max_length 3000", obj{"type": "input", "label": plain(1), "element": obj{"type": "plain_text_input", "max_length": 3000}}, obj{"type": "input", "label": plain(1), "element": obj{"type": "plain_text_input", "max_length": 3001}}, "/max_length"},
		{"100 options", actions(selecting(options(100, 1, 3))), actions(selecting(options(101, 1, 3))), "/options"},
		{"option text 75", actions(selecting(options(1, 75, 3))), actions(selecting(options(1, 76, 3))), "/options/0/text"},
		{"option value 150", actions(selecting(options(1, 1, 150))), actions(selecting(options(1, 1, 151))), "/options/0/value"},
		{"options or groups", actions(selecting(options(1, 1, 1))), actions(obj{"type": "static_select", "action_id": "s"}), "/elements/0"},
		{"initial option is offered", actions(with(selecting(options(2, 1, 1)), "initial_option", options(2, 1, 1)[1])), actions(with(selecting(options(1, 1, 1)), "initial_option", options(2, 1, 1)[1])), "/initial_option"},
		{"placeholder 150", actions(with(selecting(options(1, 1, 1)), "placeholder", plain(150))), actions(with(selecting(options(1, 1, 1)), "placeholder", plain(151))), "/placeholder"},
		{"overflow 5", actions(obj{"type": "overflow", "options": options(5, 1, 1)}), actions(obj{"type": "overflow", "options": options(6, 1, 1)}), "/options"},
		{"10 checkboxes", actions(obj{"type": "checkboxes", "options": options(10, 1, 1)}), actions(obj{"type": "checkboxes", "options": options(11, 1, 2)}), "/options"},
		{"confirm title 100", actions(with(button(1), "confirm", confirm(100, 1, 1))), actions(with(button(1), "confirm", confirm(101, 1, 1))), "/confirm/title"},
		{"confirm text 300", actions(with(button(1), "confirm", confirm(1, 300, 1))), actions(with(button(1), "confirm", confirm(1, 301, 1))), "/confirm/text"},
		{"confirm button 30", actions(with(button(1), "confirm", confirm(1, 1, 30))), actions(with(button(1), "confirm", confirm(1, 1, 31))), "/confirm/confirm"},
		{"image alt text", obj{"type": "image", "image_url": "https://x/y.png", "alt_text": "x"}, obj{"type": "image", "image_url": "https://x/y.png"}, "/blocks/0"},
		{"one table", obj{"type": "table", "rows": []any{[]any{obj{"type": "raw_text", "text": "x"}}}}, many(2, func(int) any {
			return obj{"type": "table", "rows": []any{[]any{obj{"type": "raw_text", "text": "x"}}}}
		}), "/blocks"},
		{"20 columns", obj{"type": "table", "rows": []any{many(20, func(int) any { return obj{"type": "raw_text", "text": "x"} })}}, obj{"type": "table", "rows": []any{many(21, func(int) any { return obj{"type": "raw_text", "text": "x"} })}}, "/rows/0"},
		{"rich text parts", obj{"type": "rich_text", "elements": []any{obj{"type": "rich_text_section", "elements": []any{obj{"type": "text", "text": "x"}}}}}, obj{"type": "rich_text", "elements": []any{obj{"type": "text", "text": "x"}}}, "/elements/0/type"},
	}
	w := newWorld(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			send := func(v any) map[string]any {
				if _, list := v.([]any); !list {
					v = []any{v}
				}
				raw, _ := json.Marshal(v)
				return w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "text": {"x"}, "blocks": {string(raw)}})
			}
			if got := send(tt.good); got["ok"] != true {
				t.Errorf("refused: %v", got)
			}
			got := send(tt.bad)
			refused(t, got, "invalid_blocks")
			meta, _ := got["response_metadata"].(map[string]any)
			if text := fmt.Sprint(meta["messages"]); !strings.Contains(text, tt.at) {
				t.Errorf("messages %v do not point to %s", text, tt.at)
			}
		})
	}
}

func TestMsgBlocksTooLong(t *testing.T) {
	w := newWorld(t)
	send := func(n int) map[string]any {
		raw, _ := json.Marshal(many(5, func(int) any { return section(obj{"text": mrkdwn(n)}) }))
		return w.call(t, "chat.postMessage", url.Values{"channel": {"C1"}, "blocks": {string(raw)}})
	}
	if got := send(2600); got["ok"] != true {
		t.Errorf("13,000 characters: %v", got)
	}
	refused(t, send(2601), "msg_blocks_too_long")
}

func TestBlocksGetIDs(t *testing.T) {
	w := newWorld(t)
	m := w.post(t, "C1", `[{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"Go"}}]},{"type":"divider"}]`)
	if m.Tree[0].BlockID == "" || m.Tree[0].Elements[0].ActionID == "" || m.Tree[1].BlockID == "" {
		t.Errorf("ids are missing: %s", m.Blocks)
	}
	given := w.post(t, "C1", `[ {"type":"divider", "block_id":"x"} ]`)
	if got, want := string(given.Blocks), `[{"type":"divider","block_id":"x"}]`; got != want {
		t.Errorf("got %s, want %s as sent", got, want)
	}
}
