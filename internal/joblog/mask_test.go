package joblog

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMaskerKinds(t *testing.T) {
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
	cases := []struct{ name, line, want string }{
		{"gitlab", "token glpat-abcDEF123456_-xyz7 ok", "token [MASKED] ok"},
		{"gitlab, new form", "glpat-abcDEF123456_-xyz7.01.0z1abc234", "[MASKED]"},
		{"gitlab kinds", "gldt-aaaaaaaaaaaa glrt-bbbbbbbbbbbb glcbt-64_cccccccccccc", "[MASKED] [MASKED] [MASKED]"},
		{"gitlab within a word", "xglpat-abcDEF123456", "x[MASKED]"},
		{"github", "ghp_0123456789abcdefABCDEF0123456789abcd github_pat_11ABCDEFG0123456789_abc gho_0123456789abcdefABCD ghs_0123456789abcdefABCD", "[MASKED] [MASKED] [MASKED] [MASKED]"},
		{"slack", "xoxb-1234567890-abcdef xapp-1-A012-345-abc https://hooks.slack.com/services/T0/B0/abc", "[MASKED] [MASKED] https://[MASKED]"},
		{"aws", "AKIAIOSFODNN7EXAMPLE aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "[MASKED] aws_secret_access_key = [MASKED]"},
		{"aws in JSON", `"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"`, `"SecretAccessKey": "[MASKED]"`},
		{"jwt", "got " + jwt + " back", "got [MASKED] back"},
		{"bearer", "Authorization: Bearer " + jwt, "Authorization: Bearer [MASKED]"},
		{"bearer, opaque", "-H 'authorization: bearer 0123abcdef0123'", "-H 'authorization: bearer [MASKED]'"},
		{"basic", "Authorization: Basic dXNlcjpwYXNzd29yZDE=", "Authorization: Basic [MASKED]"},
		{"header", "PRIVATE-TOKEN: opaque1234, JOB-TOKEN: opaque5678", "PRIVATE-TOKEN: [MASKED], JOB-TOKEN: [MASKED]"},
		{"URL", "git clone https://ci:p@ss@host.example.com/x.git", "git clone https://ci:[MASKED]@host.example.com/x.git"},
		{"URL, token alone", "https://0123456789abcdef0123456789@host/x", "https://[MASKED]@host/x"},
		{"assignment", `DB_PASSWORD="two words" API_KEY=abcdef123`, `DB_PASSWORD=[MASKED] API_KEY=[MASKED]`},
		{"key in one line", `{"key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"} rest`, `{"key": "[MASKED]\n"} rest`},
		{"others", "npm_0123456789abcdefABCDEF0123456789abcd hvs.0123456789abcdefABCDEF01", "[MASKED] [MASKED]"},

		{"prose", "bearer authentication failed: the token is missing", "bearer authentication failed: the token is missing"},
		{"reference", "DEPLOY_TOKEN=$CI_JOB_TOKEN", "DEPLOY_TOKEN=$CI_JOB_TOKEN"},
		{"masked before", "DEPLOY_TOKEN=[MASKED]", "DEPLOY_TOKEN=[MASKED]"},
		{"address", "https://gitlab.example.com:8443/a@b and mail to a@example.com", "https://gitlab.example.com:8443/a@b and mail to a@example.com"},
		{"syntax", "unexpected token: }", "unexpected token: }"},
		{"public key", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := NewMasker(nil).Line(c.line); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestMaskerValues(t *testing.T) {
	m := NewMasker([]string{"", "short", "hunter2", "hunter2-and-more", " padded-value\n", "first line of it\nx\r\nsecond line of it"})
	cases := [][2]string{
		{"a hunter2-and-more b hunter2", "a [MASKED] b [MASKED]"},
		{"short stays", "short stays"},
		{"padded-value", "[MASKED]"},
		{"x first line of it, second line of it", "x [MASKED], [MASKED]"},
	}
	for _, c := range cases {
		if got := m.Line(c[0]); got != c[1] {
			t.Errorf("%q: got %q, want %q", c[0], got, c[1])
		}
	}
}

func TestMaskerPrivateKeys(t *testing.T) {
	body := strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", 2)
	cases := []struct {
		name, lines, want string
	}{
		{"whole", "before\nkey: -----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\n" + body + "\nab==\n-----END RSA PRIVATE KEY-----\nafter", "before\nkey: [MASKED]\n[MASKED]\n[MASKED]\n[MASKED]\n[MASKED]\n[MASKED]\n[MASKED]\nafter"},
		{"never ends", "-----BEGIN PRIVATE KEY-----\n" + body + "\nerror: one\ntwo\nthree\nfour\nfive", "[MASKED]\n[MASKED]\n[MASKED]\n[MASKED]\n[MASKED]\n[MASKED]\nfive"},
		{"endless", "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat(body+"\n", 200) + "after", strings.Repeat("[MASKED]\n", 201) + "after"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := NewMasker(nil)
			var got []string
			for line := range strings.SplitSeq(c.lines, "\n") {
				got = append(got, m.Line(line))
			}
			if got := strings.Join(got, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestMaskerFork(t *testing.T) {
	m := NewMasker([]string{"hunter2"})
	m.Line("-----BEGIN PRIVATE KEY-----")
	if got := m.Fork().Line("text hunter2"); got != "text [MASKED]" {
		t.Errorf("got %q", got)
	}
	if got := m.Line("text"); got != Masked {
		t.Errorf("got %q within a key", got)
	}
}

func TestMaskerAlso(t *testing.T) {
	var asked []string
	base := NewMasker([]string{"hunter2"})
	m := base.Also(func(text string) string {
		asked = append(asked, text)
		return strings.ReplaceAll(text, "by-print", "***")
	}).Fork()
	if got := m.Line("hunter2 by-print glpat-abcDEF123456"); got != "[MASKED] *** [MASKED]" {
		t.Errorf("got %q", got)
	}
	if len(asked) != 1 || asked[0] != "hunter2 by-print glpat-abcDEF123456" {
		t.Errorf("was asked %q", asked)
	}
	if got := base.Line("by-print"); got != "by-print" {
		t.Errorf("the first Masker changed: %q", got)
	}
	twice := m.Also(strings.ToUpper)
	if got := twice.Line("by-print x"); got != "*** X" {
		t.Errorf("got %q", got)
	}
}

// TestMaskerAlsoBeforeCuts: what is hidden by a function must be hidden before an excerpt
// cuts the line, also in lines that are only context.
func TestMaskerAlsoBeforeCuts(t *testing.T) {
	secret := strings.Repeat("s3cr", 30)
	m := NewMasker(nil).Also(func(text string) string { return strings.ReplaceAll(text, secret, "***") })
	log := "$ ./run\ncontext " + secret + "\n" + strings.Repeat("x", 350) + " error: " + secret + "\nafter " + secret + "\nERROR: Job failed: exit code 1\n"
	if e := cut(t, log, Options{Mask: m}); strings.Contains(e.String(), "s3cr") {
		t.Errorf("shows the secret:\n%s", e)
	}
	lines, _ := eachLine(t, log, Options{Mask: m})
	for _, l := range lines {
		if strings.Contains(l.Text, "s3cr") {
			t.Errorf("hands over %s", l.Text)
		}
	}
}

// TestMaskerGlance: looking only at what may stand in a line hides as much as looking
// at everything.
func TestMaskerGlance(t *testing.T) {
	pieces := []string{
		" ", "=", ": ", "/", "@", "\"", "x", "0123456789abcdef", "Abcdefghij0123456789", "é", "\ufffd", "K", "ſ", "\t", "our own value", "OUR OWN VALUE", "[MASKED]",
		"PRIVATE-TOKEN", "Authorization", "BEARER", "AKIA", "ASIAABCDEFGHIJKLMNOP", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc", "https://user:pass@host", "https://", "xoxb-", "-----BEGIN RSA PRIVATE KEY-----",
		"SG.", "npm_", "glpat-", "gr1348941", "secret_key", "SessionToken", "DB_PASSWORD=", "api_key=", "hvs.", "hooks.slack.com/services/",
	}
	m := NewMasker([]string{"our own value", "x@0123456"})
	rnd := rand.New(rand.NewPCG(5, 5))
	for range 20_000 {
		var b strings.Builder
		for range 1 + rnd.IntN(8) {
			b.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		text := b.String()
		if fast, slow := m.replace(text), m.replaceKnown(text, valuesMark|1<<len(secretKinds)-1); fast != slow {
			t.Fatalf("%q\nbecomes %q\nand     %q", text, fast, slow)
		}
	}
}

func FuzzMasker(f *testing.F) {
	f.Add("PRIVATE-TOKEN: x our own value")
	f.Add("https://a:b@c ASIAABCDEFGHIJKLMNOP eyJ")
	m := NewMasker([]string{"our own value", "x@0123456"})
	f.Fuzz(func(t *testing.T, text string) {
		fast, slow := m.replace(text), m.replaceKnown(text, valuesMark|1<<len(secretKinds)-1)
		if fast != slow {
			t.Fatalf("%q\nbecomes %q\nand     %q", text, fast, slow)
		}
		if strings.Contains(fast, "our own value") {
			t.Fatal("a value is left")
		}
	})
}

func TestSecretLines(t *testing.T) {
	for _, c := range []struct {
		value string
		want  []string
	}{
		{"", nil},
		{"on", nil},
		{"12345", nil},
		{" 123456\n", []string{"123456"}},
		{"s3cret-väl", []string{"s3cret-väl"}},
		{"-----BEGIN\r\n  MIIEabcd  \n1234567\n\nMIIEefgh==\n", []string{"-----BEGIN", "MIIEabcd", "MIIEefgh=="}},
		{"123456\n \n", []string{"123456"}},
		{"\n12345678\n", []string{"12345678"}},
		{"abcdefgh\rijklmnop", []string{"abcdefgh", "ijklmnop"}},
		{"abc\x00def\x07ghi", []string{"abc\x00def\x07ghi", "abcdefghi"}},
		{"abc\x1b[31mdef\u202eghi", []string{"abc\x1b[31mdef\u202eghi", "abcdefghi"}},
		{"abc\xffdefgh", []string{"abc\xffdefgh", "abc\ufffddefgh"}},
		{"abc\tdefgh", []string{"abc\tdefgh"}},
		{"\x1b\x1b\x1b\x1b\x1b\x1b", []string{"\x1b\x1b\x1b\x1b\x1b\x1b"}},
	} {
		if diff := cmp.Diff(c.want, SecretLines(c.value)); diff != "" {
			t.Errorf("%q: -want +got:\n%s", c.value, diff)
		}
	}
}
