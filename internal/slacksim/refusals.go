package slacksim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"unicode/utf8"
)

// surface is where blocks are shown.
type surface int

const (
	surfaceMessage surface = iota
	surfaceModal
	surfaceHome
)

// readBlocks checks blocks and fills in ids. limitTotal adds the limit on the
// text of all blocks, which response_urls do not have.
func (s *Server) readBlocks(raw string, where surface, limitTotal bool) (json.RawMessage, reply) {
	var list []any
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		return nil, fail("invalid_blocks_format")
	}
	k := &checker{where: where, blockIDs: map[string]bool{}}
	k.blocks("/blocks", list)
	if len(k.problems) > 0 {
		return nil, fail("invalid_blocks", k.problems...)
	}
	if limitTotal && where == surfaceMessage && k.total > maxBlocksText {
		return nil, fail("msg_blocks_too_long")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(raw)); err != nil {
		return nil, fail("invalid_blocks_format") // unreachable: it was unmarshalled above
	}
	return s.fillIDs(compact.Bytes(), list), nil
}

// checker collects what Slack would object to, by JSON pointer.
type checker struct {
	where    surface
	problems []string
	blockIDs map[string]bool
	total    int // characters of text
	markdown int
	tables   int
}

func (k *checker) bad(at, format string, a ...any) {
	k.problems = append(k.problems, "[ERROR] "+fmt.Sprintf(format, a...)+" [json-pointer:"+at+"]")
}

// keys of the objects that Slack reads; others are refused as additional
// properties.
var keys = map[string][]string{
	"section": {"text", "fields", "accessory", "expand"},
	"divider": {},
	"header":  {"text", "level"},
	"context": {"elements"},
	"actions": {"elements"},
	"image":   {"image_url", "slack_file", "alt_text", "title"},
	"input":   {"label", "element", "hint", "optional", "dispatch_action"},
	"rich_text": {
		"elements",
	},
	"markdown": {"text"},
	"table":    {"rows", "column_settings"},
}

// loose are the kinds of blocks whose inside is not checked.
var loose = []string{
	"alert", "call", "card", "carousel", "container", "context_actions", "data_table", "data_visualization", "file",
	"layout", "plan", "task_card", "video",
}

var elementKeys = map[string][]string{
	"button":                     {"text", "url", "value", "style", "confirm", "accessibility_label", "agent_prompt", "agent_prompt_display", "visible_to_user_ids"},
	"checkboxes":                 {"options", "initial_options", "confirm", "focus_on_load", "visible_to_user_ids"},
	"radio_buttons":              {"options", "initial_option", "confirm", "focus_on_load"},
	"datepicker":                 {"initial_date", "placeholder", "confirm", "focus_on_load"},
	"timepicker":                 {"initial_time", "placeholder", "confirm", "focus_on_load", "timezone"},
	"datetimepicker":             {"initial_date_time", "confirm", "focus_on_load"},
	"overflow":                   {"options", "confirm"},
	"plain_text_input":           {"placeholder", "initial_value", "multiline", "min_length", "max_length", "dispatch_action_config", "focus_on_load"},
	"email_text_input":           {"placeholder", "initial_value", "dispatch_action_config", "focus_on_load"},
	"url_text_input":             {"placeholder", "initial_value", "dispatch_action_config", "focus_on_load"},
	"number_input":               {"placeholder", "is_decimal_allowed", "initial_value", "min_value", "max_value", "dispatch_action_config", "focus_on_load"},
	"rich_text_input":            {"placeholder", "initial_value", "dispatch_action_config", "focus_on_load"},
	"file_input":                 {"filetypes", "max_files"},
	"static_select":              {"placeholder", "options", "option_groups", "initial_option", "confirm", "focus_on_load"},
	"external_select":            {"placeholder", "initial_option", "min_query_length", "confirm", "focus_on_load"},
	"users_select":               {"placeholder", "initial_user", "confirm", "focus_on_load"},
	"conversations_select":       {"placeholder", "initial_conversation", "default_to_current_conversation", "confirm", "response_url_enabled", "filter", "focus_on_load"},
	"channels_select":            {"placeholder", "initial_channel", "confirm", "response_url_enabled", "focus_on_load"},
	"multi_static_select":        {"placeholder", "options", "option_groups", "initial_options", "confirm", "max_selected_items", "focus_on_load"},
	"multi_external_select":      {"placeholder", "initial_options", "min_query_length", "confirm", "max_selected_items", "focus_on_load"},
	"multi_users_select":         {"placeholder", "initial_users", "confirm", "max_selected_items", "focus_on_load"},
	"multi_conversations_select": {"placeholder", "initial_conversations", "default_to_current_conversation", "confirm", "max_selected_items", "filter", "focus_on_load"},
	"multi_channels_select":      {"placeholder", "initial_channels", "confirm", "max_selected_items", "focus_on_load"},
	"workflow_button":            {"text", "workflow", "style", "accessibility_label"},
}

// inputOnly are elements that live in input blocks only.
var inputOnly = []string{"plain_text_input", "email_text_input", "url_text_input", "number_input", "rich_text_input", "file_input"}

// pressOnly are elements that an input block cannot hold.
var pressOnly = []string{"button", "overflow", "workflow_button"}

func (k *checker) blocks(at string, list []any) {
	most := 50
	if k.where != surfaceMessage {
		most = 100
	}
	if len(list) > most {
		k.bad(at, "no more than %d items allowed", most)
	}
	for i, one := range list {
		k.block(at+"/"+strconv.Itoa(i), one)
	}
	if k.markdown > 12000 {
		k.bad(at, "markdown blocks must be less than 12001 characters together")
	}
	if k.tables > 1 && k.where == surfaceMessage {
		k.bad(at, "only one table allowed")
	}
}

func (k *checker) block(at string, v any) {
	b, is := v.(map[string]any)
	if !is {
		k.bad(at, "must be an object")
		return
	}
	kind, _ := b["type"].(string)
	allowed, known := keys[kind]
	switch {
	case kind == "":
		k.bad(at, "missing required field: type")
		return
	case !known && !slices.Contains(loose, kind), kind == "table" && k.where != surfaceMessage, kind == "markdown" && k.where != surfaceMessage:
		k.bad(at+"/type", "unsupported type: %s", kind)
		return
	}
	if known {
		k.only(at, b, append([]string{"type", "block_id"}, allowed...))
	}
	k.blockID(at, b)
	k.body(at, kind, b)
}

func (k *checker) blockID(at string, b map[string]any) {
	id := k.str(at, b, "block_id", 0, 255)
	if id == "" {
		return
	}
	if k.blockIDs[id] {
		k.bad(at+"/block_id", "`block_id` %q already exists", id)
	}
	k.blockIDs[id] = true
}

func (k *checker) body(at, kind string, b map[string]any) {
	switch kind {
	case "section":
		k.section(at, b)
	case "header":
		k.text(at, b, "text", 150, true, "plain_text")
	case "context":
		k.context(at, b)
	case "actions":
		k.actions(at, b)
	case "image":
		k.image(at, b)
	case "input":
		k.input(at, b)
	case "rich_text":
		k.richText(at, b)
	case "markdown":
		k.need(at, b, "text")
		n := utf8.RuneCountInString(k.str(at, b, "text", 1, 12000))
		k.markdown, k.total = k.markdown+n, k.total+n
	case "table":
		k.table(at, b)
	default:
		k.total += looseText(b)
	}
}

func (k *checker) section(at string, b map[string]any) {
	_, hasText := b["text"]
	fields, hasFields := b["fields"]
	if !hasText && !hasFields {
		k.bad(at, "must define either `text` or `fields`")
	}
	if hasText {
		k.text(at, b, "text", 3000, true, "plain_text", "mrkdwn")
	}
	if hasFields {
		list := k.list(at+"/fields", fields, 1, 10)
		for i := range list {
			k.textValue(at+"/fields/"+strconv.Itoa(i), list[i], 2000, "plain_text", "mrkdwn")
		}
	}
	if acc, has := b["accessory"]; has {
		k.element(at+"/accessory", acc, "section", nil)
	}
}

func (k *checker) context(at string, b map[string]any) {
	k.need(at, b, "elements")
	for i, e := range k.list(at+"/elements", b["elements"], 1, 10) {
		p := at + "/elements/" + strconv.Itoa(i)
		o, _ := e.(map[string]any)
		if o["type"] == "image" {
			k.only(p, o, []string{"type", "image_url", "slack_file", "alt_text"})
			k.image(p, o)
			continue
		}
		k.textValue(p, e, 2000, "plain_text", "mrkdwn")
	}
}

func (k *checker) actions(at string, b map[string]any) {
	k.need(at, b, "elements")
	ids := map[string]bool{}
	for i, e := range k.list(at+"/elements", b["elements"], 1, 25) {
		k.element(at+"/elements/"+strconv.Itoa(i), e, "actions", ids)
	}
}

func (k *checker) image(at string, b map[string]any) {
	if _, file := b["slack_file"]; !file {
		k.need(at, b, "image_url")
		k.link(at, b, "image_url")
	}
	k.need(at, b, "alt_text")
	k.str(at, b, "alt_text", 0, 2000)
	if _, has := b["title"]; has {
		k.text(at, b, "title", 2000, false, "plain_text")
	}
}

func (k *checker) input(at string, b map[string]any) {
	k.text(at, b, "label", 2000, true, "plain_text")
	if _, has := b["hint"]; has {
		k.text(at, b, "hint", 2000, false, "plain_text")
	}
	k.need(at, b, "element")
	if e, has := b["element"]; has {
		k.element(at+"/element", e, "input", nil)
	}
}

var richKinds = []string{"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}

func (k *checker) richText(at string, b map[string]any) {
	k.need(at, b, "elements")
	for i, e := range k.list(at+"/elements", b["elements"], 1, 1000) {
		p := at + "/elements/" + strconv.Itoa(i)
		o, _ := e.(map[string]any)
		kind, _ := o["type"].(string)
		if !slices.Contains(richKinds, kind) {
			k.bad(p+"/type", "unsupported type: %s", kind)
			continue
		}
		k.need(p, o, "elements")
		k.richParts(p, o["elements"])
	}
}

// richParts checks texts and links of a rich text and counts them.
func (k *checker) richParts(at string, v any) {
	list, _ := v.([]any)
	for i, e := range list {
		p := at + "/elements/" + strconv.Itoa(i)
		o, _ := e.(map[string]any)
		switch o["type"] {
		case "rich_text_section":
			k.richParts(p, o["elements"])
		case "text":
			k.need(p, o, "text")
			k.total += utf8.RuneCountInString(k.str(p, o, "text", 1, 1<<30))
		case "link":
			k.need(p, o, "url")
			k.link(p, o, "url")
			k.total += utf8.RuneCountInString(k.str(p, o, "text", 0, 1<<30))
		case "user", "usergroup", "channel", "emoji", "broadcast", "date", "color", "team":
		default:
			k.bad(p+"/type", "unsupported type: %v", o["type"])
		}
	}
}

func (k *checker) table(at string, b map[string]any) {
	k.tables++
	k.need(at, b, "rows")
	for i, row := range k.list(at+"/rows", b["rows"], 1, 100) {
		p := at + "/rows/" + strconv.Itoa(i)
		for j, cell := range k.list(p, row, 1, 20) {
			o, _ := cell.(map[string]any)
			if kind, _ := o["type"].(string); !slices.Contains([]string{"raw_text", "rich_text", "raw_number"}, kind) {
				k.bad(p+"/"+strconv.Itoa(j)+"/type", "unsupported type: %s", kind)
			}
			k.total += looseText(o)
		}
	}
}

// looseText counts every text below v.
func looseText(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			n += looseText(one)
		}
	case map[string]any:
		for key, one := range v {
			if text, is := one.(string); is && key == "text" {
				n += utf8.RuneCountInString(text)
				continue
			}
			n += looseText(one)
		}
	}
	return n
}

// element checks something to press or fill in, held by a section, actions or
// input block. ids are the action_ids of the block so far.
func (k *checker) element(at string, v any, holder string, ids map[string]bool) {
	e, is := v.(map[string]any)
	if !is {
		k.bad(at, "must be an object")
		return
	}
	kind, _ := e["type"].(string)
	if kind == "image" && holder == "section" {
		k.only(at, e, []string{"type", "image_url", "slack_file", "alt_text"})
		k.image(at, e)
		return
	}
	allowed, known := elementKeys[kind]
	if !known || slices.Contains(inputOnly, kind) && holder != "input" || slices.Contains(pressOnly, kind) && holder == "input" {
		k.bad(at+"/type", "unsupported type: %s", kind)
		return
	}
	k.only(at, e, append([]string{"type", "action_id"}, allowed...))
	id := k.str(at, e, "action_id", 0, 255)
	if id != "" && ids != nil {
		if ids[id] {
			k.bad(at+"/action_id", "`action_id` %q already exists for another element", id)
		}
		ids[id] = true
	}
	if c, has := e["confirm"]; has {
		k.confirm(at+"/confirm", c)
	}
	if _, has := e["placeholder"]; has {
		k.text(at, e, "placeholder", 150, false, "plain_text")
	}
	k.elementBody(at, kind, e)
}

func (k *checker) elementBody(at, kind string, e map[string]any) {
	switch kind {
	case "button":
		k.text(at, e, "text", 75, true, "plain_text")
		k.str(at, e, "value", 0, 2000)
		k.str(at, e, "accessibility_label", 0, 75)
		if _, has := e["url"]; has {
			k.link(at, e, "url")
		}
		k.style(at, e)
	case "overflow":
		k.need(at, e, "options")
		k.options(at+"/options", e["options"], 5, "plain_text")
	case "checkboxes", "radio_buttons":
		k.need(at, e, "options")
		k.options(at+"/options", e["options"], 10, "plain_text", "mrkdwn")
		k.initial(at, e)
	case "static_select", "multi_static_select":
		k.choices(at, e)
		k.initial(at, e)
	case "plain_text_input":
		k.str(at, e, "initial_value", 0, 3000)
		if n, _ := e["max_length"].(float64); n > 3000 {
			k.bad(at+"/max_length", "must be less than or equal to 3000")
		}
	case "number_input":
		k.need(at, e, "is_decimal_allowed")
	}
}

func (k *checker) style(at string, e map[string]any) {
	if v, has := e["style"]; has && v != "primary" && v != "danger" {
		k.bad(at+"/style", "value must be one of: primary, danger")
	}
}

func (k *checker) choices(at string, e map[string]any) {
	options, has := e["options"]
	groups, hasGroups := e["option_groups"]
	switch {
	case has == hasGroups:
		k.bad(at, "must define either `options` or `option_groups`")
	case has:
		k.options(at+"/options", options, 100, "plain_text")
	default:
		for i, g := range k.list(at+"/option_groups", groups, 1, 100) {
			p := at + "/option_groups/" + strconv.Itoa(i)
			o, _ := g.(map[string]any)
			k.text(p, o, "label", 75, true, "plain_text")
			k.options(p+"/options", o["options"], 100, "plain_text")
		}
	}
}

func (k *checker) options(at string, v any, most int, kinds ...string) {
	for i, one := range k.list(at, v, 1, most) {
		p := at + "/" + strconv.Itoa(i)
		o, is := one.(map[string]any)
		if !is {
			k.bad(p, "must be an object")
			continue
		}
		k.only(p, o, []string{"text", "value", "description", "url"})
		k.text(p, o, "text", 75, true, kinds...)
		k.need(p, o, "value")
		k.str(p, o, "value", 0, 150)
		if _, has := o["url"]; has {
			k.link(p, o, "url")
		}
		if _, has := o["description"]; has {
			k.text(p, o, "description", 75, false, kinds...)
		}
	}
}

// initial checks that what is chosen at first is one of the options.
func (k *checker) initial(at string, e map[string]any) {
	values := map[string]bool{}
	collect := func(v any) {
		list, _ := v.([]any)
		for _, one := range list {
			o, _ := one.(map[string]any)
			value, _ := o["value"].(string)
			values[value] = true
		}
	}
	collect(e["options"])
	groups, _ := e["option_groups"].([]any)
	for _, g := range groups {
		o, _ := g.(map[string]any)
		collect(o["options"])
	}
	check := func(at string, v any) {
		o, _ := v.(map[string]any)
		if value, _ := o["value"].(string); !values[value] {
			k.bad(at, "must be one of the provided options")
		}
	}
	if one, has := e["initial_option"]; has {
		check(at+"/initial_option", one)
	}
	if v, has := e["initial_options"]; has {
		for i, one := range k.list(at+"/initial_options", v, 1, 100) {
			check(at+"/initial_options/"+strconv.Itoa(i), one)
		}
	}
}

func (k *checker) confirm(at string, v any) {
	o, is := v.(map[string]any)
	if !is {
		k.bad(at, "must be an object")
		return
	}
	k.only(at, o, []string{"title", "text", "confirm", "deny", "style"})
	k.text(at, o, "title", 100, true, "plain_text")
	k.text(at, o, "text", 300, true, "plain_text", "mrkdwn")
	k.text(at, o, "confirm", 30, true, "plain_text")
	k.text(at, o, "deny", 30, true, "plain_text")
	k.style(at, o)
}

// only refuses keys that Slack does not know.
func (k *checker) only(at string, o map[string]any, allowed []string) {
	for _, key := range sortedKeys(o) {
		if !slices.Contains(allowed, key) {
			k.bad(at, "invalid additional property: %s", key)
		}
	}
}

func (k *checker) need(at string, o map[string]any, key string) {
	if v, has := o[key]; !has || v == nil {
		k.bad(at, "missing required field: %s", key)
	}
}

// str checks the length of a string, if there is one.
func (k *checker) str(at string, o map[string]any, key string, least, most int) string {
	v, has := o[key]
	if !has {
		return ""
	}
	text, is := v.(string)
	if !is {
		k.bad(at+"/"+key, "must be a string")
		return ""
	}
	k.length(at+"/"+key, text, least, most)
	return text
}

func (k *checker) length(at, text string, least, most int) {
	n := utf8.RuneCountInString(text)
	if n < least {
		k.bad(at, "must be more than %d characters", least-1)
	}
	if n > most {
		k.bad(at, "must be less than %d characters", most+1)
	}
}

// link checks an address, of which Slack takes 3000 characters everywhere.
func (k *checker) link(at string, o map[string]any, key string) {
	text := k.str(at, o, key, 1, 3000)
	if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme == "") {
		k.bad(at+"/"+key, "invalid url")
	}
}

func (k *checker) list(at string, v any, least, most int) []any {
	if v == nil {
		return nil
	}
	list, is := v.([]any)
	switch {
	case !is:
		k.bad(at, "must be an array")
	case len(list) < least:
		k.bad(at, "no less than %d items allowed", least)
	case len(list) > most:
		k.bad(at, "no more than %d items allowed", most)
	}
	return list
}

// text checks the text object under a key.
func (k *checker) text(at string, o map[string]any, key string, most int, required bool, kinds ...string) {
	v, has := o[key]
	if !has || v == nil {
		if required {
			k.bad(at, "missing required field: %s", key)
		}
		return
	}
	k.textValue(at+"/"+key, v, most, kinds...)
}

func (k *checker) textValue(at string, v any, most int, kinds ...string) {
	o, is := v.(map[string]any)
	if !is {
		k.bad(at, "must provide an object")
		return
	}
	kind, _ := o["type"].(string)
	if !slices.Contains(kinds, kind) {
		k.bad(at+"/type", "must be one of: %v", kinds)
		return
	}
	k.only(at, o, []string{"type", "text", "emoji", "verbatim"})
	k.need(at, o, "text")
	k.total += utf8.RuneCountInString(k.str(at, o, "text", 1, most))
}

func sortedKeys(o map[string]any) []string {
	out := make([]string, 0, len(o))
	for k := range o {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
