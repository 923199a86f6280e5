package slacksim

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// stash keeps finished parts of a text out of the way of later steps: each is
// replaced by one rune of a private plane.
type stash []string

const stashBase = 0xF0000

func (s *stash) put(part string) string {
	*s = append(*s, part)
	return string(rune(stashBase + len(*s) - 1))
}

// back puts the parts in again, last first, since a part may hold earlier ones.
func (s *stash) back(text string) string {
	for i := range slices.Backward(*s) {
		text = strings.ReplaceAll(text, string(rune(stashBase+i)), (*s)[i])
	}
	return text
}

var (
	angled = regexp.MustCompile(`<([^<>\n]+)>`)
	fence  = regexp.MustCompile("(?s)```\n?(.*?)\n?```")
	code   = regexp.MustCompile("`([^`\n]+)`")
)

// mrkdwn paints a text of Slack's markup.
func (p painter) mrkdwn(text string) string {
	var kept stash
	text = strings.Map(dropPrivate, text)
	text = fence.ReplaceAllStringFunc(text, func(f string) string {
		inside := fence.FindStringSubmatch(f)[1]
		return kept.put("```\n" + unescape(angled.ReplaceAllStringFunc(inside, p.token)) + "\n```")
	})
	text = code.ReplaceAllStringFunc(text, func(c string) string {
		return kept.put(unescape(angled.ReplaceAllStringFunc(c, p.token)))
	})
	text = angled.ReplaceAllStringFunc(text, func(t string) string { return kept.put(unescape(p.token(t))) })
	for _, mark := range []rune{'*', '_', '~'} {
		text = unmark(text, mark)
	}
	return kept.back(unescape(text))
}

func dropPrivate(r rune) rune {
	if r >= stashBase && r < stashBase+0x10000 {
		return -1
	}
	return r
}

func unescape(text string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)
}

// token paints what stands between angle brackets.
func (p painter) token(t string) string {
	inside := t[1 : len(t)-1]
	ref, label, labelled := strings.Cut(inside, "|")
	switch {
	case strings.HasPrefix(ref, "@"):
		if labelled && p.names[ref[1:]] == "" {
			return "@" + label
		}
		return "@" + name(p.names, ref[1:])
	case strings.HasPrefix(ref, "#"):
		if labelled && label != "" {
			return "#" + label
		}
		return "#" + name(p.names, ref[1:])
	case strings.HasPrefix(ref, "!date^"):
		return date(ref, label)
	case strings.HasPrefix(ref, "!subteam^"):
		if labelled {
			return "«" + label + "»"
		}
		return "«@" + strings.TrimPrefix(ref, "!subteam^") + "»"
	case strings.HasPrefix(ref, "!"):
		return "«@" + ref[1:] + "»"
	case labelled:
		return label
	default:
		return strings.TrimPrefix(ref, "mailto:")
	}
}

// date paints !date^unix^format^link, or the fallback when it is malformed.
func date(ref, fallback string) string {
	parts := strings.SplitN(ref, "^", 4)
	if len(parts) < 3 {
		return fallback
	}
	unix, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return fallback
	}
	return clock(unix, parts[2])
}

// unmark removes pairs of a formatting mark that Slack would read as such: the
// first after a border and before a non-space, the second the other way round.
func unmark(text string, mark rune) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = unmarkLine([]rune(line), mark)
	}
	return strings.Join(lines, "\n")
}

func unmarkLine(in []rune, mark rune) string {
	var out []rune
	for i := 0; i < len(in); i++ {
		if in[i] == mark && opens(in, i) {
			if end := closing(in, i, mark); end > 0 {
				out = append(out, in[i+1:end]...)
				i = end
				continue
			}
		}
		out = append(out, in[i])
	}
	return string(out)
}

func opens(in []rune, i int) bool {
	return (i == 0 || border(in[i-1])) && i+1 < len(in) && !unicode.IsSpace(in[i+1]) && in[i+1] != in[i]
}

func closing(in []rune, start int, mark rune) int {
	for i := start + 2; i < len(in); i++ {
		if in[i] == mark && !unicode.IsSpace(in[i-1]) && (i+1 == len(in) || border(in[i+1])) {
			return i
		}
	}
	return 0
}

// border says whether a formatting mark may stand next to r.
func border(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// Mentions lists whom a message would ping, sorted and each once: "!channel",
// "!here", "!everyone", "!subteam^S1" and "@U1". The plain text counts too,
// since notifications show it.
func Mentions(m Message) []string {
	found := map[string]bool{}
	mentionsIn(m.Text, found)
	var blocks any
	if len(m.Blocks) > 0 && json.Unmarshal(m.Blocks, &blocks) == nil {
		walkMentions(blocks, found)
	}
	var out []string
	for k := range found {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func mentionsIn(mrkdwn string, found map[string]bool) {
	for _, hit := range angled.FindAllStringSubmatch(mrkdwn, -1) {
		ref, _, _ := strings.Cut(hit[1], "|")
		if strings.HasPrefix(ref, "@") || strings.HasPrefix(ref, "!") && !strings.HasPrefix(ref, "!date^") {
			found[ref] = true
		}
	}
}

func walkMentions(v any, found map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			walkMentions(one, found)
		}
	case map[string]any:
		kind, _ := v["type"].(string)
		text, _ := v["text"].(string)
		switch kind {
		case "mrkdwn", "markdown":
			mentionsIn(text, found)
		case "user":
			found["@"+str(v["user_id"])] = true
		case "broadcast":
			found["!"+str(v["range"])] = true
		case "usergroup":
			found["!subteam^"+str(v["usergroup_id"])] = true
		}
		for _, one := range v {
			walkMentions(one, found)
		}
	}
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

// Links lists the addresses that a message leads to, in the order of its blocks:
// of links in texts and of buttons. For a message without blocks, those of its
// text.
func Links(m Message) []string {
	if len(m.Tree) == 0 {
		return linksIn(m.Text)
	}
	var out []string
	for i := range m.Tree {
		b := &m.Tree[i]
		out = append(out, textLinks(b.Text)...)
		for j := range b.Fields {
			out = append(out, textLinks(&b.Fields[j])...)
		}
		for j := range b.Elements {
			out = append(out, elementLinks(&b.Elements[j])...)
		}
		if b.Accessory != nil {
			out = append(out, elementLinks(b.Accessory)...)
		}
	}
	return out
}

func textLinks(t *TextObject) []string {
	if t == nil || t.Type != "mrkdwn" {
		return nil
	}
	return linksIn(t.Text)
}

func linksIn(mrkdwn string) []string {
	var out []string
	for _, hit := range angled.FindAllStringSubmatch(mrkdwn, -1) {
		ref, _, _ := strings.Cut(hit[1], "|")
		if ref != "" && !strings.ContainsRune("@#!", rune(ref[0])) {
			out = append(out, unescape(ref))
		}
	}
	return out
}

func elementLinks(e *Element) []string {
	var out []string
	if e.URL != "" {
		out = append(out, e.URL)
	}
	if e.Type == "mrkdwn" && e.Text != nil {
		out = append(out, linksIn(e.Text.Text)...)
	}
	for _, o := range e.Options {
		if o.URL != "" {
			out = append(out, o.URL)
		}
	}
	for i := range e.Elements {
		out = append(out, elementLinks(&e.Elements[i])...)
	}
	return out
}
