package bot

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

func TestProse(t *testing.T) {
	tests := []struct {
		in   string
		n    int
		want string
	}{
		{"plain", 60, "plain"},
		{"a & b <c>", 60, "a &amp; b &lt;c&gt;"},
		{"<!channel> <@U1>", 60, "&lt;!channel&gt; &lt;@U1&gt;"},
		{"*bold* _it_ ~st~ `c`", 60, "∗bold∗ ˍitˍ ∼st∼ ˋcˋ"},
		{"snake_case 2*3 a`b", 60, "snake_case 2*3 aˋb"},
		{"two\nlines\r\n> quote", 60, "two lines  &gt; quote"},
		{"abc\u202edef\u200b\x07", 60, "abcdef"},
		{"abcdef", 4, "abc…"},
		{"ab&&&&", 4, "ab&amp;…"},
		{"\xffx", 60, "\uFFFDx"},
		{"👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 10, "👩‍👩‍👧‍👦…"},
		{"ee\u0301e\u0301", 4, "ee\u0301…"},
		{"", 5, ""},
	}
	for _, tt := range tests {
		if got := prose(tt.in, tt.n); got != tt.want {
			t.Errorf("prose(%q, %d): got %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestCodeAndFence(t *testing.T) {
	for in, want := range map[string]string{"main": "`main`", "a`b": "`aˋb`", "<!here>": "`&lt;!here&gt;`", " ": "`–`", "*x*": "`*x*`"} {
		if got := code(in, 60); got != want {
			t.Errorf("code(%q): got %q, want %q", in, got, want)
		}
	}
	got := fence([]string{"a", "```", "\tx <b> & `y`", "`````"})
	if strings.Count(got, "```") != 2 || !strings.HasPrefix(got, "```\na\n") || !strings.HasSuffix(got, "\n```") {
		t.Errorf("fence: got %q", got)
	}
	if !strings.Contains(got, "\n    x &lt;b&gt; &amp; `y`\n") {
		t.Errorf("fence: the third line is not as it was: %q", got)
	}
}

func TestLinks(t *testing.T) {
	for in, want := range map[string]string{
		"https://gl.example/a?b=1&c=2": "<https://gl.example/a?b=1&amp;c=2|x>",
		"https://gl.example/a|b>c":     "<https://gl.example/a%7Cb%3Ec|x>",
		"javascript:alert(1)":          "x",
		"https://user:pw@gl.example/":  "x",
		"":                             "x",
		"https://gl.example/" + strings.Repeat("a", 600):  "x",
		"https://gl.example/?" + strings.Repeat("&", 300): "x",
		"https://gl.example/\x00":                         "x",
		"https://gl.example/?q=\u202e":                    "x",
		"://":                                             "x",
	} {
		if got := link(in, "x"); got != want {
			t.Errorf("link(%q): got %q, want %q", in, got, want)
		}
	}
	if got := link("https://gl.example", ""); got != "" {
		t.Errorf("without a label: got %q", got)
	}
	if got := mention("U1", "al"); got != "<@U1>" {
		t.Errorf("got %q", got)
	}
	if got := mention("<!here>", ""); got != "somebody" {
		t.Errorf("got %q", got)
	}
	if got := channel("C1|<!here>"); strings.Contains(got, "<") {
		t.Errorf("got %q", got)
	}
}

func TestSpanAndDate(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "under 1s", 400 * time.Millisecond: "under 1s", 45 * time.Second: "45s", 192 * time.Second: "3m 12s", 3723 * time.Second: "1h 2m",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%s): got %q, want %q", d, got, want)
		}
	}
	if got := date(time.Time{}); got != "" {
		t.Errorf("no time: got %q", got)
	}
	if got, want := date(time.Unix(1_772_445_600, 0)), "<!date^1772445600^{date_short_pretty} {time}|2026-03-02 10:00 UTC>"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClipEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"short":                              "short",
		"0123456789 <https://a.b|the label>": "0123456789…",
		"0123456789012345678&amp;x":          "012345678901234567…",
		"0123456789 `code span here`":        "0123456789…",
	} {
		got := clipEscaped(in, 20)
		if got != want && in != "0123456789012345678&amp;x" || utf8.RuneCountInString(got) > 20 {
			t.Errorf("clipEscaped(%q): got %q, want %q", in, got, want)
		}
	}
	if got := clipEscaped("01234567890123456&amp;xyz", 20); strings.Contains(got, "&") {
		t.Errorf("an escape is cut: %q", got)
	}
}

func TestCheck(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	b := func(id, label string) *slack.ButtonBlockElement { return button(id, "", label) }
	confirm := b("a", "x")
	confirm.Confirm = slack.NewConfirmationBlockObject(plainText(long(101)), plainText(long(301)), plainText(long(31)), plainText(""))
	address := b("a", "x")
	address.URL = long(3001)
	fields := make([]*slack.TextBlockObject, 11)
	for i := range fields {
		fields[i] = mrkdwn("x")
	}
	many := make([]slack.Block, 51)
	for i := range many {
		many[i] = slack.NewDividerBlock()
	}
	buttons := make([]slack.BlockElement, 26)
	for i := range buttons {
		buttons[i] = b("b"+strings.Repeat("i", i), "x")
	}
	raw := func(text string) slack.Block { return slack.NewSectionBlock(mrkdwn(text), nil, nil) }
	tests := []struct {
		name   string
		text   string
		blocks []slack.Block
		want   string
	}{
		{"fine", "x", []slack.Block{raw("x"), slack.NewHeaderBlock(plainText("x"))}, ""},
		{"no text", "", nil, "text has 0"},
		{"long text", long(4001), nil, "text has 4001"},
		{"blocks", "x", many, "51 blocks"},
		{"section", "x", []slack.Block{raw(long(3001))}, "3001 characters"},
		{"empty section", "x", []slack.Block{raw("")}, "has 0 characters"},
		{"no section", "x", []slack.Block{slack.NewSectionBlock(nil, nil, nil)}, "has no text"},
		{"fields", "x", []slack.Block{slack.NewSectionBlock(nil, fields, nil)}, "11 fields"},
		{"accessory", "x", []slack.Block{sectionWith("x", b("a", long(76)))}, "76 characters"},
		{"context", "x", []slack.Block{slack.NewContextBlock("")}, "0 elements"},
		{"context text", "x", []slack.Block{slack.NewContextBlock("", mrkdwn(long(2001)))}, "2001"},
		{"actions", "x", []slack.Block{slack.NewActionBlock("", buttons...)}, "26 elements"},
		{"twice", "x", []slack.Block{slack.NewActionBlock("", b("a", "x"), b("a", "y"))}, "not unique"},
		{"confirm", "x", []slack.Block{slack.NewActionBlock("", confirm)}, "confirm title has 101"},
		{"url", "x", []slack.Block{slack.NewActionBlock("", address)}, "url has 3001"},
		{"header", "x", []slack.Block{slack.NewHeaderBlock(plainText(long(151)))}, "151"},
		{"kind", "x", []slack.Block{slack.NewFileBlock("", "", "")}, "a kind that"},
		{"total", "x", []slack.Block{raw(long(3000)), raw(long(3000)), raw(long(3000)), raw(long(1001))}, "10001 characters in all"},
		{"utf-8", "\xff", nil, "not UTF-8"},
	}
	for _, tt := range tests {
		err := Check(tt.blocks, tt.text)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestCheckView(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n+1) }
	for want, change := range map[string]func(*slack.ModalViewRequest){
		"title":            func(v *slack.ModalViewRequest) { v.Title.Text = long(maxViewTitle) },
		"title is missing": func(v *slack.ModalViewRequest) { v.Title = nil },
		"submit":           func(v *slack.ModalViewRequest) { v.Submit.Text = long(maxViewTitle) },
		"cannot be submit": func(v *slack.ModalViewRequest) { v.Submit = nil },
		"metadata":         func(v *slack.ModalViewRequest) { v.PrivateMetadata = long(maxMetadata) },
		"callback id":      func(v *slack.ModalViewRequest) { v.CallbackID = long(maxCallbackID) },
		"101 elements":     func(v *slack.ModalViewRequest) { v.Blocks.BlockSet = make101() },
		"0 elements":       func(v *slack.ModalViewRequest) { v.Blocks.BlockSet = nil },
		"block 0 (section)": func(v *slack.ModalViewRequest) {
			v.Blocks.BlockSet[0] = slack.NewSectionBlock(mrkdwn(long(maxSection)), nil, nil)
		},
		"not unique": func(v *slack.ModalViewRequest) { v.Blocks.BlockSet[2] = v.Blocks.BlockSet[1] },
		"label":      func(v *slack.ModalViewRequest) { v.Blocks.BlockSet[1].(*slack.InputBlock).Label.Text = "" },
		"hint": func(v *slack.ModalViewRequest) {
			v.Blocks.BlockSet[2].(*slack.InputBlock).Hint.Text = long(maxInputLabel)
		},
		"option value": func(v *slack.ModalViewRequest) {
			v.Blocks.BlockSet[1].(*slack.InputBlock).Element.(*slack.SelectBlockElement).InitialOption.Value = long(maxOptionValue)
		},
		"placeholder": func(v *slack.ModalViewRequest) {
			v.Blocks.BlockSet[2].(*slack.InputBlock).Element = lines("variables", long(maxPlaceholder))
		},
		"forms of ours do not have": func(v *slack.ModalViewRequest) {
			v.Blocks.BlockSet[2].(*slack.InputBlock).Element = slack.NewDatePickerBlockElement("d")
		},
		"bytes in all": func(v *slack.ModalViewRequest) {
			v.Blocks.BlockSet = append(v.Blocks.BlockSet, slices.Repeat([]slack.Block{section(strings.Repeat("&", maxSection))}, 90)...)
		},
	} {
		v := runForm("{}", "web", "main")
		if err := CheckView(v); err != nil {
			t.Fatal(err)
		}
		change(&v)
		if err := CheckView(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	}
}

func make101() []slack.Block { return slices.Repeat([]slack.Block{section("x")}, maxViewBlocks+1) }

func TestCheckOptions(t *testing.T) {
	group := func(label string, n int, value, text string) *slack.OptionGroupBlockObject {
		o := slack.NewOptionBlockObject(value, plainText(text), nil)
		return slack.NewOptionGroupBlockElement(plainText(label), slices.Repeat([]*slack.OptionBlockObject{o}, n)...)
	}
	for want, groups := range map[string][]*slack.OptionGroupBlockObject{
		"":              {group("a", 50, "v", "t"), group("b", 50, "v", "t")},
		"101 options":   {group("a", 50, "v", "t"), group("b", 51, "v", "t")},
		"0 elements":    {group("a", 0, "", "")},
		"group has 76":  {group(strings.Repeat("x", 76), 1, "v", "t")},
		"value has 151": {group("a", 1, strings.Repeat("x", 151), "t")},
		"value has 0":   {group("a", 1, "", "t")},
		"option has 0":  {group("a", 1, "v", "")},
	} {
		if err := CheckOptions(groups); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %q", err, want)
		}
	}
}

func TestFit(t *testing.T) {
	var blocks []slack.Block
	for range 60 {
		blocks = append(blocks, section(strings.Repeat("x", 900)))
	}
	got := fit(Answer{Text: "", Blocks: blocks})
	if err := Check(got.Blocks, got.Text); err != nil {
		t.Error(err)
	}
	more := func(left int) string { return "more" }
	if got := fitLines([]string{"aaaa", "bbbb", "cccc"}, 10, more); got != "aaaa\nmore" {
		t.Errorf("got %q", got)
	}
	if got := fitLines([]string{"aaaaaaaaaaaa"}, 3, more); got != ellipsis {
		t.Errorf("got %q", got)
	}
}
