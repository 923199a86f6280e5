package bot

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// Slack's limits, in characters unless said otherwise.
const (
	maxBlocks        = 50
	maxMessage       = 10000 // everything in a message; Slack refuses near 13,000
	maxEditText      = 4000
	maxFallback      = 3900
	maxSection       = 3000
	maxFence         = maxSection - 100 // of ours, so that a heading finds room
	maxField         = 2000
	maxFields        = 10
	maxContext       = 10 // elements
	maxContextText   = 2000
	maxActions       = 25 // elements
	maxHeader        = 150
	maxButtonText    = 75
	maxButtonValue   = 2000
	maxActionID      = 255
	maxConfirmTitle  = 100
	maxConfirmText   = 300
	maxConfirmButton = 30
	maxURL           = 3000
	maxOptions       = 100 // in all groups together
	maxOptionText    = 75
	maxTicks         = 10 // options of radio buttons and checkboxes
	maxOptionValue   = 150
	maxViewBlocks    = 100
	maxViewTitle     = 24      // of buttons, too
	maxView          = 250_000 // bytes
	maxMetadata      = 3000
	maxCallbackID    = 255
	maxInputLabel    = 2000 // of hints, too
	maxPlaceholder   = 150
	maxFieldError    = 500
	maxInitial       = 3000 // what stands in a field of text
)

// Check returns an error that names every limit of Slack's which the message breaks:
// sizes, counts, empty texts and ids that are not unique.
func Check(blocks []slack.Block, text string) error {
	c := newChecker()
	c.length("text", text, 1, maxEditText)
	if len(blocks) > maxBlocks {
		c.fail("%d blocks, at most %d", len(blocks), maxBlocks)
	}
	for i, b := range blocks {
		c.block(i, b)
	}
	if c.total > maxMessage {
		c.fail("%d characters in all, at most %d", c.total, maxMessage)
	}
	return errors.Join(c.errs...)
}

// CheckView does the same for a modal.
func CheckView(v slack.ModalViewRequest) error {
	c := newChecker()
	c.required("title", v.Title, maxViewTitle)
	c.required("close", v.Close, maxViewTitle)
	c.text("submit", v.Submit, maxViewTitle)
	c.length("metadata", v.PrivateMetadata, 0, maxMetadata)
	c.length("callback id", v.CallbackID, 0, maxCallbackID)
	c.count("view", len(v.Blocks.BlockSet), maxViewBlocks)
	for i, b := range v.Blocks.BlockSet {
		if in, ok := b.(*slack.InputBlock); ok {
			c.input(in)
			if v.Submit == nil {
				c.fail("field %q: the view cannot be submitted", in.BlockID)
			}
			continue
		}
		c.block(i, b)
	}
	if raw, err := json.Marshal(v); err != nil || len(raw) > maxView {
		c.fail("%d bytes in all, at most %d: %v", len(raw), maxView, err)
	}
	return errors.Join(c.errs...)
}

// CheckHome does the same for an App Home.
func CheckHome(v slack.HomeTabViewRequest) error {
	c := newChecker()
	c.count("home", len(v.Blocks.BlockSet), maxViewBlocks)
	c.length("metadata", v.PrivateMetadata, 0, maxMetadata)
	for i, b := range v.Blocks.BlockSet {
		c.block(i, b)
	}
	if n := viewSize(v); n > maxView {
		c.fail("%d bytes in all, at most %d", n, maxView)
	}
	return errors.Join(c.errs...)
}

// viewSize is how many bytes a view has on the wire.
func viewSize(v any) int {
	raw, err := json.Marshal(v)
	if err != nil {
		return maxView + 1 // unreachable: a view is made of texts
	}
	return len(raw)
}

// CheckOptions does the same for the answer to a type-ahead field.
func CheckOptions(groups []*slack.OptionGroupBlockObject) error {
	c := newChecker()
	n := 0
	for _, g := range groups {
		c.required("group", g.Label, maxOptionText)
		c.count("group", len(g.Options), maxOptions)
		n += len(g.Options)
		for _, o := range g.Options {
			c.option(o)
		}
	}
	if n > maxOptions {
		c.fail("%d options, at most %d", n, maxOptions)
	}
	return errors.Join(c.errs...)
}

type checker struct {
	errs  []error
	seen  map[string]bool // action ids
	total int
}

func newChecker() *checker { return &checker{seen: map[string]bool{}} }

func (c *checker) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checker) length(what, s string, low, high int) {
	n := utf8.RuneCountInString(s)
	if what != "text" {
		c.total += n
	}
	if n < low || n > high {
		c.fail("%s has %d characters, it may have %d to %d", what, n, low, high)
	}
	if !utf8.ValidString(s) {
		c.fail("%s is not UTF-8", what)
	}
}

func (c *checker) block(i int, b slack.Block) {
	at := fmt.Sprintf("block %d (%s)", i, b.BlockType())
	switch b := b.(type) {
	case *slack.SectionBlock:
		if b.Text == nil && len(b.Fields) == 0 {
			c.fail("%s has no text", at)
		}
		c.text(at, b.Text, maxSection)
		if len(b.Fields) > maxFields {
			c.fail("%s has %d fields, at most %d", at, len(b.Fields), maxFields)
		}
		for _, f := range b.Fields {
			c.text(at, f, maxField)
		}
		if b.Accessory != nil && b.Accessory.ButtonElement != nil {
			c.button(at, b.Accessory.ButtonElement)
		}
	case *slack.ContextBlock:
		c.count(at, len(b.ContextElements.Elements), maxContext)
		for _, e := range b.ContextElements.Elements {
			if t, ok := e.(*slack.TextBlockObject); ok {
				c.text(at, t, maxContextText)
			}
		}
	case *slack.ActionBlock:
		c.count(at, len(b.Elements.ElementSet), maxActions)
		for _, e := range b.Elements.ElementSet {
			switch e := e.(type) {
			case *slack.ButtonBlockElement:
				c.button(at, e)
			case *slack.SelectBlockElement:
				c.choice(at, e)
			}
		}
	case *slack.HeaderBlock:
		c.text(at, b.Text, maxHeader)
	case *slack.DividerBlock:
	default:
		c.fail("%s is a kind that messages of ours do not have", at)
	}
}

func (c *checker) count(at string, n, high int) {
	if n < 1 || n > high {
		c.fail("%s has %d elements, it may have 1 to %d", at, n, high)
	}
}

func (c *checker) text(at string, t *slack.TextBlockObject, high int) {
	if t != nil {
		c.length(at, t.Text, 1, high)
	}
}

func (c *checker) required(at string, t *slack.TextBlockObject, high int) {
	if t == nil {
		c.fail("%s is missing", at)
	}
	c.text(at, t, high)
}

func (c *checker) input(b *slack.InputBlock) {
	at := fmt.Sprintf("field %q", b.BlockID)
	c.required(at+" label", b.Label, maxInputLabel)
	c.text(at+" hint", b.Hint, maxInputLabel)
	c.once(at, b.BlockID)
	switch e := b.Element.(type) {
	case *slack.PlainTextInputBlockElement:
		c.text(at+" placeholder", e.Placeholder, maxPlaceholder)
		c.length(at+" value", e.InitialValue, 0, maxInitial)
	case *slack.RadioButtonsBlockElement:
		c.count(at, len(e.Options), maxTicks)
		for _, o := range e.Options {
			c.option(o)
		}
	case *slack.CheckboxGroupsBlockElement:
		c.count(at, len(e.Options), maxTicks)
		for _, o := range e.Options {
			c.option(o)
		}
	case *slack.MultiSelectBlockElement:
		c.text(at+" placeholder", e.Placeholder, maxPlaceholder)
		c.count(at, len(e.Options), maxOptions)
		for _, o := range e.Options {
			c.option(o)
		}
	case *slack.SelectBlockElement:
		c.text(at+" placeholder", e.Placeholder, maxPlaceholder)
		if e.InitialOption != nil {
			c.option(e.InitialOption)
		}
	default:
		c.fail("%s is a kind that forms of ours do not have", at)
	}
}

func (c *checker) option(o *slack.OptionBlockObject) {
	c.required("option", o.Text, maxOptionText)
	c.length("option value", o.Value, 1, maxOptionValue)
}

// choice checks a list to choose from that stands alone.
func (c *checker) choice(at string, e *slack.SelectBlockElement) {
	c.text(at+" placeholder", e.Placeholder, maxPlaceholder)
	c.once(at, e.ActionID)
	if e.Type == slack.OptTypeStatic {
		c.count(at, len(e.Options), maxOptions)
	}
	for _, o := range e.Options {
		c.option(o)
	}
	if e.InitialOption != nil {
		c.option(e.InitialOption)
	}
}

// once checks an id that must not come twice.
func (c *checker) once(at, id string) {
	c.length(at+" id", id, 1, maxActionID)
	if c.seen[id] {
		c.fail("%s: the id %q is not unique", at, id)
	}
	c.seen[id] = true
}

func (c *checker) button(at string, b *slack.ButtonBlockElement) {
	at = fmt.Sprintf("%s, button %q", at, b.ActionID)
	c.text(at+" text", b.Text, maxButtonText)
	c.length(at+" value", b.Value, 0, maxButtonValue)
	c.length(at+" url", b.URL, 0, maxURL)
	c.once(at, b.ActionID)
	if b.Confirm != nil {
		c.text(at+" confirm title", b.Confirm.Title, maxConfirmTitle)
		c.text(at+" confirm text", b.Confirm.Text, maxConfirmText)
		c.text(at+" confirm button", b.Confirm.Confirm, maxConfirmButton)
		c.text(at+" deny button", b.Confirm.Deny, maxConfirmButton)
	}
}

// fit makes an answer keep the limits of a whole message. Texts and buttons keep theirs
// by themselves; where many long ones come together, the last blocks but one go, and it says so.
func fit(a Answer) Answer {
	a.Text = clipEscaped(a.Text, maxFallback)
	if a.Text == "" {
		a.Text = ellipsis
	}
	blocks, shortened := a.Blocks, false
	for len(blocks) > 2 && (len(blocks) > maxBlocks || size(blocks) > maxMessage-len(saysTooLong)) {
		if !shortened {
			blocks, shortened = slices.Insert(slices.Clone(blocks), len(blocks)-1, contextLine(saysTooLong)), true
		}
		blocks = slices.Delete(blocks, len(blocks)-3, len(blocks)-2)
	}
	a.Blocks = blocks
	return a
}

// size counts the characters of blocks as Check does.
func size(blocks []slack.Block) int {
	c := newChecker()
	for i, b := range blocks {
		c.block(i, b)
	}
	return c.total
}

// fitLines returns as many lines as fit into n characters, joined, and how many are
// left out. more gives the line that says so; it is counted.
func fitLines(lines []string, n int, more func(left int) string) string {
	total := 0
	for i, l := range lines {
		total += utf8.RuneCountInString(l) + 1
		if total > n {
			return fitSome(lines, i, n, more)
		}
	}
	return strings.Join(lines, "\n")
}

func fitSome(lines []string, keep, n int, more func(left int) string) string {
	for ; keep >= 0; keep-- {
		s := strings.Join(append(slices.Clone(lines[:keep]), more(len(lines)-keep)), "\n")
		if utf8.RuneCountInString(s) <= n {
			return s
		}
	}
	return ellipsis
}
