package joblog

import (
	"cmp"
	"math/bits"
	"regexp"
	"slices"
	"strings"
)

// Masked is what stands in the place of a secret.
const Masked = "[MASKED]"

const (
	minSecret     = 6   // shorter values stand in too much innocent text
	minSecretLine = 8   // of a value that has several lines
	maxKeyLines   = 200 // a private key is shorter; a key that never ends must not hide the rest of the log
	maxLooseLines = 4   // headers of a key: lines in it that do not look like one
)

// Masker hides secrets in lines: the values that it was given, and what looks
// like a secret of a well-known kind. Private keys reach over several lines,
// so a Masker has to see the lines of one log in order, and serves one log at a
// time: Fork gives another.
type Masker struct {
	values []string
	hide   []func(string) string
	grams  *grams // of values and of secretKinds
	key    keyState
}

// valuesMark is the mark of the values; secretKinds have the lower bits, in order.
const valuesMark = 1 << 31

// SecretLines are the parts of a value that a line of a log must not show: its lines, as they are and
// as a [Reader] gives them, without control characters and the like. Lines shorter than six bytes (eight, of a
// value that has several) stand in too much innocent text and are left out. Not covered are values that a job writes in
// another form, such as base64, escaped as in JSON or in a URL, or wrapped over several lines.
func SecretLines(value string) []string {
	lines := strings.FieldsFunc(strings.TrimSpace(value), func(r rune) bool { return r == '\n' || r == '\r' })
	least := minSecret
	if len(lines) > 1 {
		least = minSecretLine
	}
	var out []string
	add := func(line string) {
		if line = strings.TrimSpace(line); len(line) >= least {
			out = append(out, line)
		}
	}
	for _, line := range lines {
		add(line)
		if shown := asShown(line); shown != line {
			add(shown)
		}
	}
	return out
}

// asShown is how a line that is printed looks in a log.
func asShown(line string) string {
	if isPlain([]byte(line)) {
		return line
	}
	shown, err := NewReader(strings.NewReader(line)).Next()
	if err != nil {
		return line // nothing of it is shown
	}
	return shown.Text
}

// NewMasker returns a Masker that also hides values, as far as [SecretLines] says.
func NewMasker(values []string) *Masker {
	m := &Masker{}
	for _, v := range values {
		m.values = append(m.values, SecretLines(v)...)
	}
	slices.SortFunc(m.values, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	m.values = slices.Compact(m.values)
	m.grams = newGrams()
	for _, v := range m.values {
		m.grams.add(v, valuesMark)
	}
	for i, kind := range secretKinds {
		for _, literal := range kind.any {
			m.grams.add(literal, 1<<i)
		}
	}
	return m
}

// Also returns a Masker that in addition lets hide take secrets out of each
// line, for those that are known otherwise than by value or form. hide is called with the
// whole line as it was in the log, before anything else is hidden or cut, and gives the
// line to go on with: plain text in one line. Forks call it at the same time.
func (m *Masker) Also(hide func(text string) string) *Masker {
	also := m.Fork()
	also.hide = append(slices.Clip(also.hide), hide)
	return also
}

// Fork returns a Masker for another log: the same secrets, nothing remembered.
// Forks may be used at the same time.
func (m *Masker) Fork() *Masker { return &Masker{values: m.values, hide: m.hide, grams: m.grams} }

// Line returns text, the next line of the log, without its secrets.
func (m *Masker) Line(text string) string {
	was := m.key.inside
	if m.key.next(text) && was {
		return Masked
	}
	return m.replace(text)
}

// replace hides what can be seen within one line.
func (m *Masker) replace(text string) string {
	for _, hide := range m.hide {
		text = hide(text)
	}
	return m.replaceKnown(text, m.grams.marks([]byte(text)))
}

// replaceKnown hides the values and kinds that marks tells of, as far as they are there.
// What one of them leaves behind is not looked at for others.
func (m *Masker) replaceKnown(text string, marks uint32) string {
	if marks&valuesMark != 0 {
		marks &^= valuesMark
		for _, v := range m.values {
			if strings.Contains(text, v) {
				text = strings.ReplaceAll(text, v, Masked)
			}
		}
	}
	folded := ""
	for ; marks != 0; marks &= marks - 1 {
		kind := &secretKinds[bits.TrailingZeros32(marks)]
		if !strings.Contains(text, kind.also) {
			continue
		}
		if folded == "" {
			folded = lowerLetters(text)
		}
		if containsAny(folded, kind.any) {
			text = kind.hide(text)
		}
	}
	return text
}

// lowerLetters is strings.ToLower for the letters of ASCII alone.
func lowerLetters(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// keyState follows private keys over lines.
type keyState struct {
	inside bool
	lines  int
	loose  int
}

var keyBody = regexp.MustCompile(`[A-Za-z0-9+/=]{32,}`)

// next takes one line and tells whether a private key stands in it.
func (k *keyState) next(text string) bool {
	if !k.inside {
		if !strings.Contains(text, "-----BEGIN ") {
			return false // finding the first is much faster than finding the last
		}
		begin := strings.LastIndex(text, "-----BEGIN ")
		if !strings.Contains(text[begin:], "PRIVATE KEY") || strings.Contains(text[begin:], "-----END ") {
			return false
		}
		*k = keyState{inside: true}
		return true
	}
	k.lines++
	k.loose++
	if keyBody.MatchString(text) {
		k.loose = 0
	}
	if strings.Contains(text, "-----END ") || k.lines >= maxKeyLines || k.loose >= maxLooseLines {
		k.inside = false
	}
	return true
}

// secretKind is one well-known form of secrets.
type secretKind struct {
	name string
	any  []string // lower case, three bytes at least; a line without any of them is not looked at further
	also string   // nor one without this
	expr *regexp.Regexp
	with string // what a match becomes
	real func(match string) bool
}

func (k *secretKind) hide(text string) string {
	if k.real == nil {
		return k.expr.ReplaceAllString(text, k.with)
	}
	return k.expr.ReplaceAllStringFunc(text, func(match string) string {
		if !k.real(match) {
			return match
		}
		return k.expr.ReplaceAllString(match, k.with)
	})
}

// tokenLike tells a token after a word such as Bearer from prose.
func tokenLike(match string) bool {
	word := match[strings.LastIndexAny(match, " \t")+1:]
	return len(word) >= 20 || strings.ContainsAny(word, "0123456789")
}

// literalValue leaves references to variables and what is masked already.
func literalValue(match string) bool {
	_, value, _ := strings.Cut(match, "=")
	value = strings.Trim(value, `"'`)
	return !strings.HasPrefix(value, "$") && !strings.HasPrefix(value, "[MASKED") && !strings.HasPrefix(value, "***")
}

var secretKinds = []secretKind{
	{
		name: "private key", any: []string{"-----begin "},
		expr: regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`), with: Masked,
	},
	{
		name: "gitlab", any: []string{"glpat-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-", "gloas-", "glsoat-", "glft-", "glimt-", "glagent-", "glffct-", "glwt-", "gr1348941"},
		expr: regexp.MustCompile(`(?:gl(?:pat|dt|rt|rtr|cbt|ptt|oas|soat|ft|imt|agent|ffct|wt)-[\w.=-]{8,}|GR1348941[\w-]{8,})`), with: Masked,
	},
	{
		name: "github", any: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"},
		expr: regexp.MustCompile(`(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,})`), with: Masked,
	},
	{
		name: "slack", any: []string{"xox", "xapp-", "hooks.slack.com/"},
		expr: regexp.MustCompile(`(?:xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}|hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]+)`), with: Masked,
	},
	{
		name: "aws id", any: []string{"akia", "asia"},
		expr: regexp.MustCompile(`(?:AKIA|ASIA)[A-Z0-9]{16}`), with: Masked,
	},
	{
		name: "aws secret", any: []string{"secret", "session"},
		expr: regexp.MustCompile(`(?i)((?:aws_?)?(?:secret_?access_?key|session_?token|secret_?key)["']?\s*[:=]\s*["']?)[A-Za-z0-9/+=]{16,}`), with: "${1}" + Masked,
	},
	{
		name: "jwt", any: []string{"eyj"},
		expr: regexp.MustCompile(`eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*`), with: Masked,
	},
	{
		name: "authorization", any: []string{"authorization"},
		expr: regexp.MustCompile(`(?i)(authorization["']?\s*[:=]\s*["']?(?:(?:bearer|basic|token|digest|apikey)\s+)?)[^\s"',;]{6,}`), with: "${1}" + Masked, real: tokenLike,
	},
	{
		name: "bearer", any: []string{"bearer"},
		expr: regexp.MustCompile(`(?i)(bearer\s+)[\w.~+/=-]{8,}`), with: "${1}" + Masked, real: tokenLike,
	},
	{
		name: "token header", any: []string{"-token", "-key"},
		expr: regexp.MustCompile(`(?i)((?:private|job|deploy|gitlab|vault|auth|access|api)-(?:token|key)["']?\s*[:=]\s*["']?)[^\s"',;]{6,}`), with: "${1}" + Masked,
	},
	{
		name: "password in a URL", any: []string{"://"}, also: "@",
		expr: regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@"'<>]*:)[^\s/"'<>]+@`), with: "${1}" + Masked + "@",
	},
	{
		name: "token in a URL", any: []string{"://"}, also: "@",
		expr: regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s/:@"'<>]{20,}@`), with: "${1}" + Masked + "@",
	},
	{
		name: "assignment", any: []string{"password=", "passwd=", "token=", "secret=", "_key=", "apikey=", "credentials="},
		expr: regexp.MustCompile(`(\b[A-Z0-9_]*(?:PASSWORD|PASSWD|TOKEN|SECRET|API_?KEY|PRIVATE_KEY|ACCESS_KEY|CREDENTIALS)=)(?:"[^"]{6,}"|'[^']{6,}'|[^\s"'&]{6,})`), with: "${1}" + Masked, real: literalValue,
	},
	{
		name: "other services", any: []string{"aiza", "ya29.", "npm_", "pypi-", "dckr_pat_", "sk_live_", "rk_live_", "hvs.", "hvb.", "sg."},
		expr: regexp.MustCompile(`(?:AIza[\w-]{30,}|ya29\.[\w-]{16,}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|dckr_pat_[\w-]{16,}|[sr]k_live_\w{16,}|hv[sb]\.[\w-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,})`), with: Masked,
	},
}
