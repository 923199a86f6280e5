package webhooks

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The types of this file read whatever JSON value they find and never fail: the
// versions of GitLab, and templates that people write, differ in what they send.
// null, and a value that makes no sense, are zero: not told.

// maxText bounds every text that is kept, in bytes. No name, ref or title of
// GitLab's is longer; a commit message may be, but its first line is all we want.
const maxText = 4 << 10

// text is a string, or a number written as one.
type text string

// UnmarshalJSON reads a string or a number.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = text(scalar(b))
	return nil
}

// word is a string that is one of GitLab's own words. A number is none.
type word string

// UnmarshalJSON reads a string.
func (w *word) UnmarshalJSON(b []byte) error {
	*w = ""
	if b[0] == '"' {
		*w = word(strings.TrimSpace(scalar(b)))
	}
	return nil
}

// link is an absolute http or https URL.
type link string

// UnmarshalJSON reads a string; one that is no such URL is not told.
func (l *link) UnmarshalJSON(b []byte) error {
	*l = ""
	s := strings.TrimSpace(scalar(b))
	if u, err := url.Parse(s); err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
		*l = link(s)
	}
	return nil
}

// number is a whole number, also in a string.
type number int64

// UnmarshalJSON reads a number or a string.
func (n *number) UnmarshalJSON(b []byte) error {
	*n = 0
	s := scalar(b)
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		*n = number(i)
		return nil
	}
	const exact = 1 << 53 // beyond it a float does not name one whole number
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < exact {
		*n = number(f)
	}
	return nil
}

// flag is a boolean, also in a string or as 0 and 1.
type flag bool

// UnmarshalJSON reads a boolean, a number or a string.
func (f *flag) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s != "true" && s != "false" {
		s = scalar(b)
	}
	v, err := strconv.ParseBool(strings.ToLower(s))
	*f = flag(v && err == nil)
	return nil
}

// seconds is a duration in seconds, whole or not, also in a string.
type seconds time.Duration

// UnmarshalJSON reads a number or a string; what is negative or longer than a year is not told.
func (d *seconds) UnmarshalJSON(b []byte) error {
	*d = 0
	const year = 365 * 24 * time.Hour
	f, err := strconv.ParseFloat(scalar(b), 64)
	if err == nil && f > 0 && f < year.Seconds() {
		*d = seconds(math.Round(f * float64(time.Second)))
	}
	return nil
}

// moment is a time in any of the forms that GitLab writes.
type moment time.Time

// momentLayouts are tried in order. One field has had several of them over the versions.
var momentLayouts = []string{
	"2006-01-02 15:04:05 UTC",
	time.RFC3339Nano,
	"2006-01-02 15:04:05 -0700",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05",
	time.DateOnly,
}

// UnmarshalJSON reads a string; years that no pipeline has are not told.
func (m *moment) UnmarshalJSON(b []byte) error {
	*m = moment{}
	if b[0] != '"' {
		return nil
	}
	const first, last = 1971, 9000
	s := strings.TrimSpace(scalar(b))
	for _, layout := range momentLayouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if t = t.UTC(); t.Year() >= first && t.Year() <= last {
			*m = moment(t)
		}
		return nil
	}
	return nil
}

// list is an array; the elements that are no T at all are zero.
type list[T any] []T

// UnmarshalJSON reads an array of anything.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	var plain []T
	if b[0] == '[' {
		if err := tolerantly(b, &plain); err != nil {
			return err // unreachable: the JSON was checked before it came here
		}
	}
	*l = plain
	return nil
}

// scalar returns the text of a string or a number, "" for everything else. It is
// bounded and can be stored.
func scalar(b []byte) string {
	switch {
	case b[0] == '"' && bytes.IndexByte(b, '\\') < 0 && utf8.Valid(b):
		return cut(string(b[1:len(b)-1]), maxText) // nothing to unescape, which is nearly always so
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return "" // unreachable: the JSON was checked before it came here
		}
		return cut(clean(s), maxText)
	case b[0] == '-' || b[0] >= '0' && b[0] <= '9':
		return cut(string(b), maxText)
	default:
		return ""
	}
}
