package bot

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"

	"kovra.dev/chatops/internal/kovra"
)

const (
	inputPrefix     = "input:"
	broadcastPrefix = "broadcast:"
	sureWord        = "--yes"
	switchOn        = "on"
	switchOff       = "off"
)

var (
	variableKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	inputKey    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	// subscriptionID is a number above zero.
	subscriptionID = regexp.MustCompile(`^#[1-9][0-9]{0,17}$`)
	slackToken     = regexp.MustCompile(`<([^<>\s][^<>]*)>`)

	slackUnescaper = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")
	slackEscaper   = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	quoteStraight  = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "‟", `"`, "«", `"`, "»", `"`, "‘", "'", "’", "'", "‚", "'", "‛", "'")
)

// Parse understands a slash command: its name ("/pipeline") and the text after it as
// Slack sends it. An error is a [kovra.Error] of kind [kovra.Invalid] that says what
// was understood, the nearest command and an example.
func Parse(command, text string) (Command, error) {
	group := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(command), "/"))
	words, err := tokens(plain(text))
	if err != nil {
		return Command{}, err
	}
	sure := slices.Contains(words, sureWord)
	words = slices.DeleteFunc(words, func(w string) bool { return w == sureWord })
	switch group {
	case GroupPipeline:
		return parsePipeline(words, sure)
	case GroupBuild:
		return parseBuild(words, sure)
	case GroupKovra:
		return parseKovra(words, sure)
	default:
		return Command{}, kovra.Errorf(kovra.Invalid, saysUnknownGroup, group)
	}
}

// plain undoes what Slack does to text that people type: links, channels and people
// in angle brackets, escaped characters, and curly quotes.
func plain(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = slackToken.ReplaceAllStringFunc(text, func(t string) string { return plainToken(t[1 : len(t)-1]) })
	return quoteStraight.Replace(slackUnescaper.Replace(text))
}

// plainToken is what the person typed for one token of Slack's.
func plainToken(t string) string {
	body, label, _ := strings.Cut(t, "|")
	switch {
	case strings.HasPrefix(body, "#"), strings.HasPrefix(body, "@"):
		if label == "" {
			return body
		}
		return body[:1] + strings.TrimLeft(label, "#@")
	case strings.HasPrefix(body, "!"):
		return "@" + cmp.Or(strings.TrimLeft(label, "@"), body[1:])
	case strings.HasPrefix(body, "mailto:"):
		return cmp.Or(label, strings.TrimPrefix(body, "mailto:"))
	case label != "" && !strings.Contains(label, "/") && strings.TrimSuffix(body, "/") == "http://"+label:
		return label // Slack took a name with a dot in it for a host
	default:
		return body
	}
}

// tokens cuts text into words. A quote opens at the start of a word or after the = of
// KEY=VALUE; inside, a backslash keeps the next quote or backslash.
func tokens(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	var open rune
	inWord, afterEqual := false, false
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		switch {
		case open != 0 && r == '\\' && i < len(text) && (text[i] == '\\' || rune(text[i]) == open):
			word.WriteByte(text[i])
			i++
		case open != 0 && r == open:
			open, afterEqual = 0, false
		case open != 0:
			word.WriteRune(r)
		case (r == '"' || r == '\'') && (!inWord || afterEqual):
			open, inWord, afterEqual = r, true, false
		case isSpace(r):
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord, afterEqual = false, false
		default:
			afterEqual = r == '=' && !strings.Contains(word.String(), "=")
			inWord = true
			word.WriteRune(r)
		}
	}
	if open != 0 {
		return nil, kovra.Errorf(kovra.Invalid, saysOpenQuote, word.String())
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

func isSpace(r rune) bool { return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' }

func parsePipeline(words []string, sure bool) (Command, error) {
	c := Command{Group: GroupPipeline, Verb: VerbList, Sure: sure}
	if len(words) == 0 {
		return c, nil
	}
	verb := strings.ToLower(words[0])
	switch {
	case verb == VerbHelp:
		c.Verb, c.Words = VerbHelp, words[1:]
		return c, nil
	case verb == "retry" && len(words) > 1 && strings.EqualFold(words[1], "job"):
		verb, words = VerbRetryJob, words[1:]
	case verb == "retryjob":
		verb = VerbRetryJob
	case verb == VerbLogs && len(words) > 1 && looksLikeID(words[len(words)-1]):
		verb = VerbLog // not the switch of channels
	}
	if _, ok := specOf(GroupPipeline, verb); ok {
		c.Verb = verb
		return c.take(words[1:])
	}
	if len(words) > 2 || len(words) == 2 && looksLikeID(words[1]) {
		return c, unknownVerb(GroupPipeline, verb)
	}
	return c.take(words)
}

func parseBuild(words []string, sure bool) (Command, error) {
	c := Command{Group: GroupBuild, Verb: VerbList, Sure: sure}
	if len(words) == 0 {
		return c, nil
	}
	verb := strings.ToLower(words[0])
	switch {
	case verb == VerbHelp:
		c.Verb, c.Words = VerbHelp, words[1:]
		return c, nil
	case verb == "roll" && len(words) > 1 && strings.EqualFold(words[1], "back"):
		verb, words = VerbRollback, words[1:]
	case verb == "roll-back":
		verb = VerbRollback
	case verb == VerbRun:
		verb = VerbTrigger
	case verb == VerbLogs:
		verb = VerbLog
	}
	s, ok := specOf(GroupBuild, verb)
	switch {
	case !ok && len(words) > 1:
		return c, unknownVerb(GroupBuild, verb)
	case !ok:
		return c.take(words)
	}
	c.Verb, words = verb, words[1:]
	for n := len(words); s.shape == shapeBuild && n > 1 && strings.EqualFold(words[n-2], GroupBuild); n-- {
		words = append(slices.Clone(words[:n-2]), words[n-1]) // "build 12" is how people name it
	}
	return c.take(words)
}

func parseKovra(words []string, sure bool) (Command, error) {
	c := Command{Group: GroupKovra, Verb: VerbHelp, Sure: sure}
	if len(words) == 0 {
		return c, nil
	}
	verb, rest := strings.ToLower(words[0]), words[1:]
	switch verb {
	case GroupPipeline, "pipelines":
		return parsePipeline(rest, sure)
	case GroupBuild, "builds":
		return parseBuild(rest, sure)
	case VerbHelp:
		c.Words = rest
		return c, nil
	case VerbApp:
		if len(rest) > 0 && (strings.EqualFold(rest[0], "create") || strings.EqualFold(rest[0], "delete")) {
			verb, rest = "app-"+strings.ToLower(rest[0]), rest[1:]
		}
	}
	if _, ok := specOf(GroupKovra, verb); !ok {
		return c, unknownVerb(GroupKovra, verb)
	}
	c.Verb = verb
	return c.take(rest)
}

// take sorts the words after the verb, and counts them.
func (c Command) take(words []string) (Command, error) {
	for _, w := range words {
		var err error
		if c, err = c.takeWord(w); err != nil {
			return c, err
		}
	}
	c, err := c.tidyFilter()
	if err != nil {
		return c, err
	}
	s, _ := specOf(c.Group, c.Verb)
	if len(c.Words) > s.max && c.Verb == VerbSubscribe {
		return c, kovra.Errorf(kovra.Invalid, saysNearFilter, c.Words[s.max], nearFilter(c.Words[s.max]))
	}
	if len(c.Words) < s.min {
		return c, kovra.Errorf(kovra.Invalid, saysTooFew, s.needs, s.usageLine(), s.example)
	}
	if len(c.Words) > s.max {
		return c, kovra.Errorf(kovra.Invalid, saysTooMany, c.Words[s.max], s.usageLine(), s.example)
	}
	return c, nil
}

func (c Command) takeWord(w string) (Command, error) {
	key, value, isPair := strings.Cut(w, "=")
	switch {
	case c.Verb == VerbRun && isPair && strings.HasPrefix(key, inputPrefix):
		key = strings.TrimPrefix(key, inputPrefix)
		if !inputKey.MatchString(key) {
			return c, kovra.Errorf(kovra.Invalid, saysBadInput, key)
		}
		if hasKey(c.Inputs, key) {
			return c, kovra.Errorf(kovra.Invalid, saysTwice, key)
		}
		c.Inputs = append(c.Inputs, Var{key, value})
	case c.Verb == VerbRun && isPair:
		if !variableKey.MatchString(key) {
			return c, kovra.Errorf(kovra.Invalid, saysBadVariable, key)
		}
		if hasKey(c.Vars, key) {
			return c, kovra.Errorf(kovra.Invalid, saysTwice, key)
		}
		c.Vars = append(c.Vars, Var{key, value})
	case c.Verb == VerbLink && strings.HasPrefix(strings.ToLower(w), broadcastPrefix):
		return c, c.takeBroadcast(w)
	case c.Verb == VerbSubscribe:
		taken, ok, err := c.takeFilter(w)
		if ok || err != nil {
			return taken, err
		}
		c.Words = append(c.Words, w)
	case c.Verb == VerbUnsubscribe && subscriptionID.MatchString(w) && c.Subscription == 0:
		c.Subscription, _ = strconv.ParseInt(w[1:], 10, 64) // the pattern bounds it
	case c.Verb == VerbLogs || c.Verb == VerbNotify:
		c.Words = append(c.Words, strings.ToLower(w))
	default:
		c.Words = append(c.Words, w)
	}
	return c, nil
}

func hasKey(vars []Var, key string) bool {
	return slices.ContainsFunc(vars, func(v Var) bool { return v.Key == key })
}

// ParseVars understands the lines of a modal's field: KEY=VALUE, one a line, in the same
// quotes as in a command. Inputs are held to the names of inputs, variables to those of variables.
func ParseVars(lines string, inputs bool) ([]Var, error) {
	c := Command{Group: GroupPipeline, Verb: VerbRun}
	pairs, err := parsePairs(lines)
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if inputs {
			p.Key = inputPrefix + strings.TrimPrefix(p.Key, inputPrefix)
		}
		if c, err = c.takeWord(p.Key + "=" + p.Value); err != nil {
			return nil, err
		}
	}
	if inputs {
		return c.Inputs, nil
	}
	if len(c.Inputs) > 0 {
		return nil, kovra.Errorf(kovra.Invalid, saysBadVariable, inputPrefix+c.Inputs[0].Key)
	}
	return c.Vars, nil
}

// parsePairs reads KEY=VALUE lines. Spaces around key and value are left out, and so is one pair of
// quotes around the value; what is inside stays as it is.
func parsePairs(lines string) ([]Var, error) {
	var pairs []Var
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(quoteStraight.Replace(strings.ToValidUTF8(line, "\uFFFD")))
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, kovra.Errorf(kovra.Invalid, saysNoPair, line)
		}
		value = strings.TrimSpace(value)
		if isQuoted(value) {
			value = value[1 : len(value)-1]
		}
		pairs = append(pairs, Var{strings.TrimSpace(key), value})
	}
	return pairs, nil
}

func isQuoted(value string) bool {
	n := len(value)
	return n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0]
}

// ParseBuildArgs understands the lines of the field for build arguments, in the quotes of [ParseVars]. Whether they
// can be passed on says [kovra.CheckBuildArgs].
func ParseBuildArgs(lines string) ([]kovra.BuildArg, error) {
	pairs, err := parsePairs(lines)
	var args []kovra.BuildArg
	for _, p := range pairs {
		args = append(args, kovra.BuildArg(p))
	}
	return args, err
}

// buildArgLines writes arguments so that [ParseBuildArgs] gives them back.
func buildArgLines(args []kovra.BuildArg) string {
	var b strings.Builder
	for _, a := range args {
		value := a.Value
		if isQuoted(value) || strings.TrimSpace(value) != value {
			value = `"` + value + `"`
		}
		b.WriteString(a.Key + "=" + value + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// unknownVerb says what was not understood, the nearest command and an example.
func unknownVerb(group, verb string) error {
	if s, ok := nearestSpec(group, verb); ok {
		return kovra.Errorf(kovra.Invalid, saysNearVerb, "/"+group, verb, strings.Fields(s.usageLine() + " ")[0]+" "+strings.Replace(s.verb, "app-", "app ", 1), s.example)
	}
	return kovra.Errorf(kovra.Invalid, saysUnknownVerb, "/"+group, verb, "/"+group+" help")
}

// nearestSpec finds the command that was probably meant, first in its own group.
func nearestSpec(group, verb string) (spec, bool) {
	var names []string
	byName := map[string]spec{}
	for _, own := range []bool{true, false} {
		for _, s := range specs {
			if (s.group == group) == own && byName[s.verb].verb == "" {
				byName[s.verb] = s
				names = append(names, s.verb)
			}
		}
	}
	name, ok := nearest(verb, names)
	return byName[name], ok
}

// nearest returns the name that word was probably meant to be; the first of equals.
func nearest(word string, names []string) (string, bool) {
	word = strings.ToLower(word)
	best, found := len(word)/3+1, ""
	if utf8.RuneCountInString(word) > 60 {
		return "", false
	}
	for _, n := range names {
		if d := levenshtein.ComputeDistance(word, n); d < best || d == best && found == "" {
			best, found = d, n
		}
	}
	return found, found != "" && best < len(found)
}
