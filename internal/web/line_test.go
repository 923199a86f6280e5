package web

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kovra.dev/chatops/internal/kovra"
)

func TestAppendLine(t *testing.T) {
	for _, c := range []struct {
		name string
		line kovra.LogLine
		hits [][2]int
		want string
	}{
		{"plain", kovra.LogLine{N: 1, Text: "a"}, nil, `{"n":1,"stream":"O","text":"a"}`},
		{"empty", kovra.LogLine{N: 2, Stream: 'O'}, nil, `{"n":2,"stream":"O","text":""}`},
		{"all", kovra.LogLine{
			N: 3, Text: "ab", Stream: 'E', Suspect: true, Header: true, Collapsed: true, Depth: 2,
			Spans: []kovra.LogSpan{{From: 0, To: 1, Style: 2 | 1<<10}},
		}, [][2]int{{1, 2}}, `{"n":3,"stream":"E","text":"ab","spans":[[0,1,"f2 bold"]],"hits":[[1,2]],"suspect":true,"header":true,"collapsed":true,"depth":2}`},
		{
			"wide",
			kovra.LogLine{N: 4, Text: "é😀x", Spans: []kovra.LogSpan{{From: 0, To: 2, Style: 1}, {From: 2, To: 6, Style: 16 << 5}, {From: 6, To: 7, Style: 31 << 10}}},
			[][2]int{{0, 6}, {6, 7}},
			`{"n":4,"stream":"O","text":"é😀x","spans":[[0,1,"f1"],[1,3,"b16"],[3,4,"bold dim italic underline strike"]],"hits":[[0,3],[3,4]]}`,
		},
		{"no such colour", kovra.LogLine{N: 5, Text: "a", Spans: []kovra.LogSpan{{To: 9, Style: 17 | 31<<5}}}, nil, `{"n":5,"stream":"O","text":"a","spans":[[0,1,""]]}`},
		{"ends of lines", kovra.LogLine{N: 6, Text: "a\u2028b\u2029c\nd\re\x00f\x7f"}, nil, `{"n":6,"stream":"O","text":"a\u2028b\u2029c\u000ad\u000de\u0000f\u007f"}`},
		{"quotes", kovra.LogLine{N: 7, Text: "\"\\\t</script>"}, nil, `{"n":7,"stream":"O","text":"\"\\\t</script>"}`},
		{"not UTF-8", kovra.LogLine{N: 8, Text: "a\xff\xc3b"}, [][2]int{{3, 4}}, `{"n":8,"stream":"O","text":"a\ufffd\ufffdb","hits":[[3,4]]}`},
		{"replaced before", kovra.LogLine{N: 9, Text: "\ufffda"}, nil, "{\"n\":9,\"stream\":\"O\",\"text\":\"\ufffda\"}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(appendLine(nil, &c.line, c.hits))
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if !json.Valid([]byte(got)) {
				t.Error("it is not JSON")
			}
		})
	}
}

// Whatever a line holds, a browser gets it back, with its colours in place.
func FuzzAppendLine(f *testing.F) {
	f.Add("plain", 1, 3)
	f.Add("é😀\u2028\"\\\t</script>\xff", 2, 6)
	f.Add("", 0, 0)
	f.Fuzz(func(t *testing.T, text string, from, to int) {
		if from < 0 || to < from || to > len(text) {
			t.Skip()
		}
		raw := appendLine(nil, &kovra.LogLine{N: 1, Text: text, Spans: []kovra.LogSpan{{From: from, To: to, Style: 1}}}, [][2]int{{from, to}})
		if strings.ContainsAny(string(raw), "\n\r\u2028\u2029") || !utf8.Valid(raw) {
			t.Fatalf("not one line: %q", raw)
		}
		var got wireLine
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		want := strings.ToValidUTF8(text, "\xff")
		if utf8.ValidString(text) && got.Text != want {
			t.Fatalf("got %q, want %q", got.Text, want)
		}
		if !utf8.ValidString(text) {
			return
		}
		cut := func(n int) int { // UTF-16 units of a part that ends between runes
			for n < len(text) && !utf8.RuneStart(text[n]) {
				n++
			}
			return len(utf16.Encode([]rune(text[:n])))
		}
		if diff := cmp.Diff([][2]int{{cut(from), cut(to)}}, got.Hits); diff != "" {
			t.Fatal(diff)
		}
	})
}
