package web

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
)

// appendLine writes a line as JSON. The browser counts in UTF-16 code units, and so do its
// spans and hits; both are given in rising order of bytes and do not overlap.
func appendLine(b []byte, l *kovra.LogLine, hits [][2]int) []byte {
	b = append(b, `{"n":`...)
	b = strconv.AppendInt(b, int64(l.N), 10)
	b = append(b, `,"stream":"`...)
	if l.Stream == 'E' {
		b = append(b, 'E')
	} else {
		b = append(b, 'O')
	}
	b = append(b, `","text":`...)
	b = appendString(b, l.Text)
	if len(l.Spans) > 0 {
		b = append(b, `,"spans":[`...)
		u := units{text: l.Text}
		for i, s := range l.Spans {
			b = appendPair(b, i, u.at(s.From), u.at(s.To))
			b = append(b, ',', '"')
			b = appendClasses(b, joblog.Style(s.Style))
			b = append(b, '"', ']')
		}
		b = append(b, ']')
	}
	if len(hits) > 0 {
		b = append(b, `,"hits":[`...)
		u := units{text: l.Text}
		for i, h := range hits {
			b = append(appendPair(b, i, u.at(h[0]), u.at(h[1])), ']')
		}
		b = append(b, ']')
	}
	b = appendMark(b, `,"suspect":true`, l.Suspect)
	b = appendMark(b, `,"header":true`, l.Header)
	b = appendMark(b, `,"collapsed":true`, l.Collapsed)
	if l.Depth > 0 {
		b = append(b, `,"depth":`...)
		b = strconv.AppendInt(b, int64(l.Depth), 10)
	}
	return append(b, '}')
}

func appendMark(b []byte, mark string, set bool) []byte {
	if !set {
		return b
	}
	return append(b, mark...)
}

func appendPair(b []byte, i, from, to int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	b = append(b, '[')
	b = strconv.AppendInt(b, int64(from), 10)
	b = append(b, ',')
	return strconv.AppendInt(b, int64(to), 10)
}

// units turns places in bytes into places in UTF-16 code units. It goes through the text
// once, so the places must rise.
type units struct {
	text  string
	bytes int
	units int
}

func (u *units) at(place int) int {
	for u.bytes < place && u.bytes < len(u.text) {
		if u.text[u.bytes] < utf8.RuneSelf {
			u.bytes++
			u.units++
			continue
		}
		r, n := utf8.DecodeRuneInString(u.text[u.bytes:])
		u.bytes += n
		u.units++
		if r > 0xffff {
			u.units++
		}
	}
	return u.units
}

// marks are the classes of what a style has beside its colours.
var marks = [...]struct {
	bit  joblog.Style
	name string
}{{1 << 10, "bold"}, {1 << 11, "dim"}, {1 << 12, "italic"}, {1 << 13, "underline"}, {1 << 14, "strike"}}

func appendClasses(b []byte, s joblog.Style) []byte {
	from := len(b)
	for _, colour := range [...]struct {
		letter byte
		number joblog.Style
	}{{'f', s & 31}, {'b', s >> 5 & 31}} {
		if colour.number >= 1 && colour.number <= 16 {
			b = append(appendSpace(b, from), colour.letter)
			b = strconv.AppendInt(b, int64(colour.number), 10)
		}
	}
	for _, m := range marks {
		if s&m.bit != 0 {
			b = append(appendSpace(b, from), m.name...)
		}
	}
	return b
}

func appendSpace(b []byte, from int) []byte {
	if len(b) == from {
		return b
	}
	return append(b, ' ')
}

const digit16 = "0123456789abcdef"

// appendString writes s as a JSON string of one line, whatever is in s. What is not UTF-8
// becomes U+FFFD, one for each byte, as units counts them.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		// U+2028 and U+2029 end a line for some readers.
		if c >= utf8.RuneSelf && r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || n > 1) {
			i += n
			continue
		}
		b = append(b, s[done:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', digit16[r>>12&15], digit16[r>>8&15], digit16[r>>4&15], digit16[r&15])
		}
		i += n
		done = i
	}
	return append(append(b, s[done:]...), '"')
}

// info is what the page knows of a log beside its lines.
type info struct {
	Kind      kovra.LogKind `json:"kind"`
	Name      string        `json:"name"`
	Stage     string        `json:"stage"`
	Status    kovra.Status  `json:"status"`
	Shown     kovra.Shown   `json:"shown"`
	Pipeline  int64         `json:"pipeline"`
	Build     int64         `json:"build,omitempty"`
	Ref       string        `json:"ref"`
	Commit    string        `json:"commit,omitempty"`
	URL       string        `json:"url"`
	Started   string        `json:"started,omitempty"`
	Finished  string        `json:"finished,omitempty"`
	Duration  float64       `json:"duration"` // seconds
	Lines     int           `json:"lines"`
	Bytes     int64         `json:"bytes"`
	Done      bool          `json:"done"`
	Truncated bool          `json:"truncated"`
	Streams   bool          `json:"streams"`
	Note      string        `json:"note"`
	Version   int64         `json:"version"`
	Sections  []sectionInfo `json:"sections,omitzero"`
}

type sectionInfo struct {
	From      int  `json:"from"`
	To        int  `json:"to"`
	Depth     int  `json:"depth"`
	Collapsed bool `json:"collapsed"`
	Open      bool `json:"open"`
}

func infoOf(l kovra.Log) info {
	s := l.Subject
	out := info{
		Kind: l.Key.Kind, Name: s.Name, Stage: s.Stage, Status: s.Status, Shown: l.Shown(), Pipeline: s.Pipeline, Build: s.Build,
		Ref: s.Ref, Commit: s.Commit,
		URL: webAddress(s.URL), Duration: s.Duration.Seconds(),
		Lines: l.Lines, Bytes: l.Bytes, Done: l.Done, Truncated: l.Truncated, Streams: l.Streams, Note: l.Note, Version: l.Version,
	}
	if !s.StartedAt.IsZero() {
		out.Started = s.StartedAt.UTC().Format(timeFormat)
	}
	if !s.FinishedAt.IsZero() {
		out.Finished = s.FinishedAt.UTC().Format(timeFormat)
	}
	return out
}

const timeFormat = "2006-01-02T15:04:05.999Z"

func (i info) json() []byte {
	b, err := json.Marshal(i)
	if err != nil {
		return []byte("{}") // unreachable: there is nothing in it that JSON cannot say
	}
	return b
}

// sameInfo reports whether two states of a log differ in nothing but the lines that are there.
func sameInfo(a, b kovra.Log) bool {
	s, t := a.Subject, b.Subject
	if !s.StartedAt.Equal(t.StartedAt) || !s.FinishedAt.Equal(t.FinishedAt) {
		return false
	}
	s.StartedAt, s.FinishedAt = t.StartedAt, t.FinishedAt
	return s == t && a.Note == b.Note && a.Truncated == b.Truncated && a.Streams == b.Streams
}
