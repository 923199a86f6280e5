package bot

import (
	"strings"

	"github.com/slack-go/slack"
)

// Small constructors of Block Kit, so that what is rendered reads like what is shown.

func mrkdwn(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, s, false, true)
}

func plainText(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

func section(lines ...string) slack.Block {
	text := strings.Join(lines, "\n")
	if !strings.Contains(text, "```") { // a fence is cut to measure where it is made
		text = clipEscaped(text, maxSection)
	}
	return slack.NewSectionBlock(mrkdwn(text), nil, nil)
}

func sectionWith(text string, b *slack.ButtonBlockElement) slack.Block {
	if b == nil {
		return section(text)
	}
	return slack.NewSectionBlock(mrkdwn(clipEscaped(text, maxSection)), nil, slack.NewAccessory(b))
}

func contextLine(s string) slack.Block {
	return slack.NewContextBlock("", mrkdwn(clipEscaped(s, maxContextText)))
}

// row is a row of buttons; those that are nil are not available now. It is appended to blocks
// unless it is empty.
func row(blocks []slack.Block, buttons ...*slack.ButtonBlockElement) []slack.Block {
	var elements []slack.BlockElement
	for _, b := range buttons {
		if b != nil {
			elements = append(elements, b)
		}
	}
	if len(elements) == 0 {
		return blocks
	}
	return append(blocks, slack.NewActionBlock("", elements...))
}

// button makes a button whose label is made of our own words.
func button(actionID, value, label string) *slack.ButtonBlockElement {
	return slack.NewButtonBlockElement(actionID, value, plainText(label))
}

// open is a button that leads to a page of others, or nil when there is no address.
func open(what, address, label string) *slack.ButtonBlockElement {
	u := webAddress(address, maxButtonURL)
	if u == "" {
		return nil
	}
	b := button(ActionOpen+":"+what, "", label)
	b.URL = u
	return b
}

// dots joins the parts that are not empty.
func dots(parts ...string) string { return joinNonEmpty(" · ", parts) }

func joinNonEmpty(sep string, parts []string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}
