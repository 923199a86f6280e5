package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"kovra.dev/chatops/storage"
)

const (
	mostLine  = 1_000_000_000 // number of a line that anybody may ask for
	mostLines = 1000
	mostAt    = 500
)

// params are those of an address. A value that makes no sense is an error of kind Invalid
// that says what is expected.
type params struct{ url.Values }

func paramsOf(r *http.Request) (params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return params{}, invalid("The part of the address after the question mark cannot be read.")
	}
	return params{values}, nil
}

// number is a whole number between least and most.
func (p params) number(name string, fallback, least, most int) (int, error) {
	if !p.Has(name) {
		return fallback, nil
	}
	n, ok := digits(p.Get(name), most)
	if !ok || n < least {
		return 0, invalid("%s must be a number from %d to %d.", name, least, most)
	}
	return n, nil
}

// digits reads a number that is written in digits alone.
func digits(s string, most int) (int, bool) {
	if s == "" || len(s) > 10 {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= most
}

// flag is 1 or 0; it may be left out.
func (p params) flag(name string) (bool, error) {
	switch p.Get(name) {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	}
	return false, invalid("%s must be 1 or 0.", name)
}

// at is a list of line numbers.
func (p params) at() ([]int, error) {
	list := p.Get("at")
	if strings.Count(list, ",") >= mostAt {
		return nil, invalid("at names too many lines: at most %d.", mostAt)
	}
	var numbers []int
	last := 0
	for one := range strings.SplitSeq(list, ",") {
		n, ok := digits(one, mostLine)
		if !ok || n <= last {
			return nil, invalid("at must be rising line numbers with commas between them, like 3,9,12.")
		}
		numbers = append(numbers, n)
		last = n
	}
	return numbers, nil
}

// query is what is looked for; ok when there is something.
func (p params) query() (q storage.LogQuery, ok bool, err error) {
	if q.Regex, err = p.flag("regex"); err != nil {
		return q, false, err
	}
	if q.Case, err = p.flag("case"); err != nil {
		return q, false, err
	}
	q.Text = p.Get("q")
	return q, q.Text != "", nil
}

// span is from which line on how many lines are wanted.
func (p params) span() (from, n int, err error) {
	if from, err = p.number("from", 1, 1, mostLine); err != nil {
		return 0, 0, err
	}
	n, err = p.number("n", 200, 1, mostLines)
	return from, n, err
}
