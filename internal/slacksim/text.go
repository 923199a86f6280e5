package slacksim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Text is a plain picture of a message for golden files: what a person reads.
// Buttons are [Retry], links on buttons [Log ↗], a question before an action
// [Cancel (asks: Cancel pipeline 7?)]. Bold and italics are left out, code keeps
// its back quotes, links show their text, dates are in UTC. A real mention of
// everybody is «@channel», a person is @name.
func Text(m Message) string {
	p := painter{names: m.Names}
	var out string
	if len(m.Tree) == 0 {
		out = p.mrkdwn(m.Text)
	} else {
		out = p.blocks(m.Tree)
	}
	for _, f := range m.Files {
		out += "\n[file: " + f.Title + "]"
	}
	var reactions []string
	for _, r := range m.Reactions {
		reactions = append(reactions, ":"+r.Name+":")
	}
	if len(reactions) > 0 {
		out += "\n" + strings.Join(reactions, " ")
	}
	return trimLines(out)
}

// ViewText is the picture of a modal or Home tab.
func ViewText(v View) string {
	p := painter{names: v.Names, state: v.State, errors: v.Errors}
	var lines []string
	if v.Title != "" {
		lines = append(lines, "== "+v.Title+" ==")
	}
	lines = append(lines, p.blocks(v.Tree))
	var buttons []string
	for _, b := range []string{v.Close, v.Submit} {
		if b != "" {
			buttons = append(buttons, "("+b+")")
		}
	}
	if len(buttons) > 0 {
		lines = append(lines, strings.Join(buttons, " "))
	}
	return trimLines(strings.Join(lines, "\n"))
}

// Thread is the picture of a parent and its replies, which are indented. What
// people wrote begins with their name.
func (s *Server) Thread(channelID, ts string) string {
	parent, is := s.Message(channelID, ts)
	if !is {
		return ""
	}
	lines := []string{said(parent)}
	for _, r := range s.Replies(channelID, ts) {
		text := strings.ReplaceAll(said(r), "\n", "\n    ")
		mark := "  ↳ "
		if r.Broadcast {
			mark = "  ⇈ " // shown in the channel too
		}
		lines = append(lines, mark+text)
	}
	return trimLines(strings.Join(lines, "\n"))
}

// said is the text of a message, with the name of a person who wrote it.
func said(m Message) string {
	if m.BotID != "" {
		return Text(m)
	}
	return "@" + name(m.Names, m.User) + ": " + Text(m)
}

func name(names map[string]string, id string) string {
	if n := names[id]; n != "" {
		return n
	}
	return id
}

func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// painter turns blocks into text.
type painter struct {
	names  map[string]string
	state  map[string]any
	errors map[string]string
}

func (p painter) blocks(tree []Block) string {
	var lines []string
	for i := range tree {
		lines = append(lines, p.block(&tree[i]))
	}
	return strings.Join(lines, "\n")
}

func (p painter) block(b *Block) string {
	switch b.Type {
	case "section":
		return p.section(b)
	case "divider":
		return "---"
	case "header":
		return "# " + p.text(b.Text)
	case "context":
		return "  " + strings.Join(p.each(b.Elements, p.contextPart), "  ")
	case "actions", "context_actions":
		return strings.Join(p.elements(b), " ")
	case "image":
		return "[image: " + b.AltText + "]"
	case "input":
		return p.input(b)
	case "rich_text":
		return strings.Join(p.each(b.Elements, p.rich), "\n")
	case "markdown":
		return p.text(b.Text)
	case "table":
		return p.table(b)
	default:
		return "[" + b.Type + "]"
	}
}

func (p painter) each(list []Element, f func(*Element) string) []string {
	var out []string
	for i := range list {
		out = append(out, f(&list[i]))
	}
	return out
}

func (p painter) section(b *Block) string {
	var lines []string
	if b.Text != nil {
		lines = append(lines, p.text(b.Text))
	}
	for i := range b.Fields {
		lines = append(lines, "  "+strings.ReplaceAll(p.text(&b.Fields[i]), "\n", " "))
	}
	if b.Accessory != nil {
		first, rest, more := strings.Cut(lines[0], "\n")
		lines[0] = first + "  " + p.element(b, b.Accessory)
		if more {
			lines[0] += "\n" + rest
		}
	}
	return strings.Join(lines, "\n")
}

func (p painter) elements(b *Block) []string {
	return p.each(b.Elements, func(e *Element) string { return p.element(b, e) })
}

func (p painter) contextPart(e *Element) string {
	if e.Type == "image" {
		return "[image: " + e.AltText + "]"
	}
	return p.text(&TextObject{Type: e.Type, Text: e.Text.Text})
}

func (p painter) input(b *Block) string {
	label := p.text(b.Label)
	if b.Optional {
		label += " (optional)"
	}
	line := label + ": " + p.element(b, b.Element)
	if b.Hint != nil {
		line += "\n  " + p.text(b.Hint)
	}
	if e := p.errors[b.BlockID]; e != "" {
		line += "\n  ! " + e
	}
	return line
}

func (p painter) table(b *Block) string {
	var rows []string
	for _, row := range b.Rows {
		rows = append(rows, strings.Join(p.each(row, func(e *Element) string {
			if e.Type == "rich_text" {
				return strings.Join(p.each(e.Elements, p.rich), " ")
			}
			if e.Text != nil {
				return e.Text.Text
			}
			return e.Value
		}), " | "))
	}
	return strings.Join(rows, "\n")
}

// element paints something to press or fill in.
func (p painter) element(b *Block, e *Element) string {
	switch e.Type {
	case "button", "workflow_button":
		label := p.text(e.Text)
		if e.URL != "" && !strings.HasSuffix(label, "↗") {
			label += " ↗"
		}
		return "[" + label + p.asks(e) + "]"
	case "overflow":
		var entries []string
		for i := range e.Options {
			entries = append(entries, p.text(&e.Options[i].Text))
		}
		return "[⋯ " + strings.Join(entries, " | ") + p.asks(e) + "]"
	case "image":
		return "[image: " + e.AltText + "]"
	case "checkboxes", "radio_buttons":
		return p.boxes(b, e)
	}
	value := strings.ReplaceAll(p.value(b, e), "\n", " ⏎ ")
	if value == "" {
		value = p.text(e.Placeholder)
		if value != "" {
			value += "…"
		}
	}
	if strings.HasSuffix(e.Type, "_input") {
		return strings.TrimSuffix("[_ "+value, " ") + "]"
	}
	return strings.TrimSuffix("[▾ "+value, " ") + p.asks(e) + "]"
}

func (p painter) asks(e *Element) string {
	if e.Confirm == nil {
		return ""
	}
	return " (asks: " + p.text(&e.Confirm.Title) + ")"
}

func (p painter) boxes(b *Block, e *Element) string {
	on, off := "[x] ", "[ ] "
	if e.Type == "radio_buttons" {
		on, off = "(•) ", "( ) "
	}
	chosen := p.chosen(b, e)
	var out []string
	for i := range e.Options {
		mark := off
		if slices.Contains(chosen, e.Options[i].Value) {
			mark = on
		}
		out = append(out, mark+p.text(&e.Options[i].Text))
	}
	return strings.Join(out, "  ")
}

// chosen are the values of the options that are chosen.
func (p painter) chosen(b *Block, e *Element) []string {
	var values []string
	for _, v := range p.filled(b, e) {
		switch v := v.(type) {
		case Option:
			values = append(values, v.Value)
		case []Option:
			for _, o := range v {
				values = append(values, o.Value)
			}
		}
	}
	return values
}

// filled is the state of an element: what is filled in, or chosen at first.
func (p painter) filled(b *Block, e *Element) map[string]any {
	block, _ := p.state[b.BlockID].(map[string]any)
	if state, touched := block[e.ActionID].(map[string]any); touched {
		return state
	}
	return e.initial()
}

// value is the state of an element as text.
func (p painter) value(b *Block, e *Element) string {
	for k, v := range p.filled(b, e) {
		if k == "type" {
			continue
		}
		switch v := v.(type) {
		case string:
			return v
		case int64:
			return clock(v, "{date_num} {time}")
		case Option:
			return v.Text.Text
		case []Option:
			var texts []string
			for _, o := range v {
				texts = append(texts, o.Text.Text)
			}
			return strings.Join(texts, ", ")
		case []string:
			return strings.Join(v, ", ")
		}
	}
	return ""
}

// text paints a text object.
func (p painter) text(t *TextObject) string {
	if t == nil {
		return ""
	}
	if t.Type == "mrkdwn" {
		return p.mrkdwn(t.Text)
	}
	return t.Text
}

// rich paints one element of a rich text.
func (p painter) rich(e *Element) string {
	inside := strings.Join(p.each(e.Elements, p.richPart), "")
	switch e.Type {
	case "rich_text_preformatted":
		return "```\n" + inside + "\n```"
	case "rich_text_quote":
		return "> " + strings.ReplaceAll(inside, "\n", "\n> ")
	case "rich_text_list":
		var items []string
		for i, item := range p.each(e.Elements, p.rich) {
			mark := "• "
			if e.Style.Name == "ordered" {
				mark = strconv.Itoa(i+1) + ". "
			}
			items = append(items, mark+item)
		}
		return strings.Join(items, "\n")
	default:
		return inside
	}
}

func (p painter) richPart(e *Element) string {
	switch e.Type {
	case "text":
		if e.Style.Code {
			return "`" + e.Text.Text + "`"
		}
		return e.Text.Text
	case "link":
		if e.Text != nil && e.Text.Text != "" {
			return e.Text.Text
		}
		return e.URL
	case "user":
		return "@" + name(p.names, e.UserID)
	case "channel":
		return "#" + name(p.names, e.ChannelID)
	case "usergroup":
		return "«@" + e.UserGroupID + "»"
	case "broadcast":
		return "«@" + e.Range + "»"
	case "emoji":
		return ":" + e.Name + ":"
	case "date":
		return clock(e.Timestamp, e.Format)
	default:
		return p.rich(e)
	}
}

// clock writes a time in UTC by Slack's date tokens. {ago} is the time itself,
// since a picture has no now.
func clock(unix int64, format string) string {
	t := time.Unix(unix, 0).UTC()
	long := fmt.Sprintf("%s %d%s, %d", t.Month(), t.Day(), ordinal(t.Day()), t.Year())
	return strings.NewReplacer(
		"{date_num}", t.Format("2006-01-02"),
		"{date_slash}", t.Format("01/02/2006"),
		"{date_long_pretty}", t.Weekday().String()+", "+long,
		"{date_short_pretty}", t.Format("Jan 2, 2006"),
		"{date_long_full}", t.Weekday().String()+", "+long,
		"{date_long}", t.Weekday().String()+", "+long,
		"{date_short}", t.Format("Jan 2, 2006"),
		"{date_pretty}", long,
		"{day_divider_pretty}", t.Weekday().String()+", "+long,
		"{date}", long,
		"{time_secs}", t.Format("3:04:05 PM"),
		"{time}", t.Format("3:04 PM"),
		"{ago}", t.Format("2006-01-02 15:04:05 UTC"),
	).Replace(format)
}

func ordinal(day int) string {
	if day >= 11 && day <= 13 {
		return "th"
	}
	switch day % 10 {
	case 1:
		return "st"
	case 2:
		return "nd"
	case 3:
		return "rd"
	default:
		return "th"
	}
}
