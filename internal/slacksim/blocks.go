package slacksim

import (
	"encoding/json"
)

// Block is one block of Block Kit, parsed as far as looking and acting need.
type Block struct {
	Type           string
	BlockID        string `json:"block_id"`
	Text           *TextObject
	Fields         []TextObject
	Elements       []Element
	Accessory      *Element
	Label          *TextObject
	Hint           *TextObject
	Element        *Element
	Title          *TextObject
	AltText        string `json:"alt_text"`
	Optional       bool
	DispatchAction bool `json:"dispatch_action"`
	Rows           [][]Element
}

// TextObject is a plain_text or mrkdwn object, or a bare string (Type is empty)
// where Slack uses one.
type TextObject struct {
	Type     string `json:"type,omitempty"`
	Text     string `json:"text"`
	Emoji    *bool  `json:"emoji,omitempty"`
	Verbatim *bool  `json:"verbatim,omitempty"`
}

// UnmarshalJSON accepts an object or a bare string.
func (t *TextObject) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		return json.Unmarshal(raw, &t.Text)
	}
	type plain TextObject
	return json.Unmarshal(raw, (*plain)(t))
}

// Element is one element of a block: something to press or fill in, a text or
// image of a context block, or a part of a rich text.
type Element struct {
	Type                 string
	ActionID             string `json:"action_id"`
	Text                 *TextObject
	Value                string
	URL                  string
	Style                Style
	Confirm              *Confirm
	Placeholder          *TextObject
	Options              []Option
	OptionGroups         []OptionGroup `json:"option_groups"`
	InitialOption        *Option       `json:"initial_option"`
	InitialOptions       []Option      `json:"initial_options"`
	InitialValue         string        `json:"initial_value"`
	InitialDate          string        `json:"initial_date"`
	InitialTime          string        `json:"initial_time"`
	InitialUser          string        `json:"initial_user"`
	InitialUsers         []string      `json:"initial_users"`
	InitialChannel       string        `json:"initial_channel"`
	InitialChannels      []string      `json:"initial_channels"`
	InitialConversation  string        `json:"initial_conversation"`
	InitialConversations []string      `json:"initial_conversations"`
	InitialDateTime      int64         `json:"initial_date_time"`
	MinQueryLength       *int          `json:"min_query_length"`
	MinLength            int           `json:"min_length"`
	MaxLength            int           `json:"max_length"`
	Multiline            bool
	AltText              string    `json:"alt_text"`
	Elements             []Element // of a rich text
	UserID               string    `json:"user_id"`
	ChannelID            string    `json:"channel_id"`
	UserGroupID          string    `json:"usergroup_id"`
	Range                string
	Name                 string
	Fallback             string
	Timestamp            int64
	Format               string
}

// Option is a choice of a select, overflow menu, checkbox or radio group.
type Option struct {
	Text        TextObject  `json:"text"`
	Value       string      `json:"value"`
	Description *TextObject `json:"description,omitempty"`
	URL         string      `json:"url,omitempty"`
	Group       string      `json:"-"` // label of its group in a type-ahead answer
}

// OptionGroup is a labelled list of options.
type OptionGroup struct {
	Label   TextObject `json:"label"`
	Options []Option   `json:"options"`
}

// Confirm is the question that is asked before an action is sent.
type Confirm struct {
	Title   TextObject `json:"title"`
	Text    TextObject `json:"text"`
	Confirm TextObject `json:"confirm"`
	Deny    TextObject `json:"deny"`
	Style   string     `json:"style,omitempty"`
}

// Style is the look of a button or list (Name), or of a rich text.
type Style struct {
	Name                       string
	Bold, Italic, Strike, Code bool
}

// UnmarshalJSON accepts a name or an object of flags.
func (s *Style) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		return json.Unmarshal(raw, &s.Name)
	}
	type plain Style
	return json.Unmarshal(raw, (*plain)(s))
}

// parseBlocks reads blocks that were checked before; kinds that it does not
// know keep only their type.
func parseBlocks(raw json.RawMessage) []Block {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	out := make([]Block, 0, len(list))
	for _, one := range list {
		var b Block
		if json.Unmarshal(one, &b) != nil {
			var kind struct{ Type string }
			_ = json.Unmarshal(one, &kind) // an unknown shape is shown by its type only
			b = Block{Type: kind.Type}
		}
		out = append(out, b)
	}
	return out
}

func hasRichText(tree []Block) bool {
	for _, b := range tree {
		if b.Type == "rich_text" {
			return true
		}
	}
	return false
}

// spot is an element together with the block that holds it.
type spot struct {
	block *Block
	el    *Element
}

// spots lists what can be pressed or filled in, in reading order.
func spots(tree []Block) []spot {
	var out []spot
	for i := range tree {
		b := &tree[i]
		switch b.Type {
		case "section":
			if b.Accessory != nil && b.Accessory.Type != "image" {
				out = append(out, spot{b, b.Accessory})
			}
		case "actions", "context_actions":
			for j := range b.Elements {
				out = append(out, spot{b, &b.Elements[j]})
			}
		case "input":
			if b.Element != nil {
				out = append(out, spot{b, b.Element})
			}
		}
	}
	return out
}

// allOptions are the options of an element, groups flattened.
func (e *Element) allOptions() []Option {
	out := append([]Option(nil), e.Options...)
	for _, g := range e.OptionGroups {
		for _, o := range g.Options {
			o.Group = g.Label.Text
			out = append(out, o)
		}
	}
	return out
}

// fillIDs gives every block and every element to act on an id, as Slack does,
// and keeps the text as it was when there is nothing to fill.
func (s *Server) fillIDs(raw json.RawMessage, list []any) json.RawMessage {
	filled := false
	set := func(o map[string]any, key, prefix string) {
		if v, _ := o[key].(string); v == "" {
			o[key] = s.id(prefix)
			filled = true
		}
	}
	for _, one := range list {
		b, _ := one.(map[string]any)
		set(b, "block_id", "b")
		var acting []any
		switch b["type"] {
		case "section":
			acting = []any{b["accessory"]}
		case "actions":
			acting, _ = b["elements"].([]any)
		case "input":
			acting = []any{b["element"]}
		}
		for _, a := range acting {
			if e, is := a.(map[string]any); is && e["type"] != "image" {
				set(e, "action_id", "a")
			}
		}
	}
	if !filled {
		return raw
	}
	out, err := json.Marshal(list)
	if err != nil {
		return raw // unreachable: the values came out of json.Unmarshal
	}
	return out
}

// wireBlocks is blocks as Slack sends them back: with the defaults of text
// objects written out.
func wireBlocks(raw json.RawMessage) any {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw // unreachable: only checked blocks are kept
	}
	writeDefaults(v)
	return v
}

func writeDefaults(v any) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			writeDefaults(one)
		}
	case map[string]any:
		if _, isText := v["text"].(string); isText {
			switch v["type"] {
			case "plain_text":
				addDefault(v, "emoji", true)
			case "mrkdwn":
				addDefault(v, "verbatim", false)
			}
		}
		for _, one := range v {
			writeDefaults(one)
		}
	}
}

func addDefault(o map[string]any, key string, value any) {
	if _, is := o[key]; !is {
		o[key] = value
	}
}
