package bot

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Text from outside reaches a message through prose, code, fence or link, and through
// nothing else. Each cleans, cuts and then escapes, in this order, so that an escape
// is never cut in two.

const (
	zeroWidthJoiner = '\u200d'
	zeroWidthSpace  = '\u200b'
	ellipsis        = "…"
	// maxOutside is how many bytes of a text are looked at; much less is shown.
	maxOutside   = 16384
	maxLinkURL   = 500 // longer addresses are left out of texts
	maxButtonURL = 1000
)

var (
	slackPerson  = regexp.MustCompile(`^[UW][A-Z0-9]{1,30}$`)
	slackChannel = regexp.MustCompile(`^[CGD][A-Z0-9]{1,30}$`)
)

// escape makes text harmless for Slack's parser. It is the only place that does.
func escape(s string) string { return slackEscaper.Replace(s) }

// clean makes one line of valid UTF-8 without control and direction characters.
func clean(s string) string {
	s = s[:min(len(s), maxOutside)]
	if isPlain(s) {
		return strings.TrimSpace(s)
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == zeroWidthJoiner:
			return r // holds emoji together
		case unicode.IsSpace(r), unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs):
			return -1
		}
		return r
	}, s))
}

// isPlain reports whether there is nothing to clean, as for most texts.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// clip cuts to at most n runes, an ellipsis included, and does not part a letter from
// the marks that belong to it.
func clip(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	runes := []rune(s)
	end := max(n-1, 0)
	for end > 0 && end > n-12 && (joins(runes[end]) || runes[end-1] == zeroWidthJoiner) {
		end--
	}
	return strings.TrimRight(string(runes[:end]), " ") + ellipsis
}

// joins reports whether r belongs to the character before it.
func joins(r rune) bool {
	const skinFirst, skinLast = '\U0001F3FB', '\U0001F3FF'
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc) || r == zeroWidthJoiner || r >= skinFirst && r <= skinLast
}

// lookalikes stand for the characters that would format: there is no way to escape those.
var lookalikes = map[rune]rune{'*': '∗', '_': 'ˍ', '~': '∼', '`': 'ˋ'}

// prose is text of others inside a line of ours. It must not be the first on its line,
// where a > would make a quotation.
func prose(s string, n int) string {
	runes := []rune(clip(clean(s), n))
	for i, r := range runes {
		other, formats := lookalikes[r]
		inWord := i > 0 && i < len(runes)-1 && wordRune(runes[i-1]) && wordRune(runes[i+1])
		if formats && (r == '`' || !inWord) {
			runes[i] = other
		}
	}
	return escape(string(runes))
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// code is a name of others (a ref, a job, a commit) in a code span, where nothing formats.
func code(s string, n int) string {
	return codeSpan(clip(clean(s), n))
}

func codeSpan(s string) string {
	if s == "" {
		return "`–`"
	}
	return "`" + escape(strings.ReplaceAll(s, "`", "ˋ")) + "`"
}

// fence is text of others, line by line, in a block of code. Runs of backticks are
// broken so that the block ends where we end it.
func fence(lines []string) string {
	var b strings.Builder
	b.WriteString("```\n")
	for _, l := range lines {
		b.WriteString(fenced(l))
		b.WriteByte('\n')
	}
	b.WriteString("```")
	return b.String()
}

// fenced is one line of a fence. Indentation stays.
func fenced(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\t", "    ")
	lead := len(s) - len(strings.TrimLeft(s, " "))
	s = s[:lead] + clean(s)
	return escape(strings.ReplaceAll(s, "``", "`"+string(zeroWidthSpace)+"`"+string(zeroWidthSpace)))
}

// link makes label, which is escaped already, lead to address. An address that is not
// plain http, or too long, gives the label alone.
func link(address, label string) string {
	u := escape(webAddress(address, maxLinkURL))
	if u == "" || label == "" || len(u) > maxLinkURL {
		return label
	}
	return "<" + u + "|" + label + ">"
}

// webAddress returns address when a browser may be sent there, else "". Characters
// that would end a link are encoded.
func webAddress(address string, n int) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	s := strings.NewReplacer("|", "%7C", "<", "%3C", ">", "%3E", "`", "%60", `"`, "%22", "*", "%2A", "~", "%7E").Replace(u.String())
	if len(s) > n || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
		return ""
	}
	return s
}

// mention names a person of Slack. An id that is none is shown by name, as text.
func mention(id, name string) string {
	if slackPerson.MatchString(id) {
		return "<@" + id + ">"
	}
	if name == "" {
		name = "somebody"
	}
	return prose(name, 60)
}

// channel names a channel of Slack.
func channel(id string) string {
	if slackChannel.MatchString(id) {
		return "<#" + id + ">"
	}
	return prose(id, 60)
}

// date is a moment in the reader's own time zone; "" for none.
func date(t time.Time) string {
	if t.IsZero() || t.Unix() <= 0 {
		return ""
	}
	return "<!date^" + strconv.FormatInt(t.Unix(), 10) + "^{date_short_pretty} {time}|" + t.UTC().Format("2006-01-02 15:04 UTC") + ">"
}

// span is a length of time for people: 45s, 3m 12s, 1h 2m.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int64(d/time.Hour), int64(d%time.Hour/time.Minute), int64(d%time.Minute/time.Second)
	switch {
	case d < time.Second:
		return "under 1s"
	case h > 0:
		return strconv.FormatInt(h, 10) + "h " + strconv.FormatInt(m, 10) + "m"
	case m > 0:
		return strconv.FormatInt(m, 10) + "m " + strconv.FormatInt(s, 10) + "s"
	default:
		return strconv.FormatInt(s, 10) + "s"
	}
}
