package gitlabsim

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultPerPage = 20
	maxPerPage     = 100
	totalsUntil    = 10_000 // above this GitLab leaves the totals out
)

// sorting says how a list may be ordered. keyset names the field whose order keyset pagination needs.
type sorting struct {
	fields []string
	by     string // default
	desc   bool   // default
	keyset string
}

// sortedPage orders a list as the request asks and returns one page.
func sortedPage(s *Server, r *request, list []object, how sorting) (reply, error) {
	by, sort := r.text("order_by"), r.text("sort")
	if by == "" {
		by = how.by
	}
	if !slices.Contains(how.fields, by) {
		return reply{}, invalid("order_by does not have a valid value")
	}
	if sort == "" {
		sort = "asc"
		if how.desc {
			sort = "desc"
		}
	}
	if sort != "asc" && sort != "desc" {
		return reply{}, invalid("sort does not have a valid value")
	}
	slices.SortStableFunc(list, func(a, b object) int {
		c := cmp.Or(compare(a[by], b[by]), compare(a["id"], b["id"]))
		if sort == "desc" {
			return -c
		}
		return c
	})
	if by != how.keyset {
		how.keyset = ""
	}
	return page(s, r, list, how.keyset)
}

func compare(a, b any) int {
	if x, isNumber := a.(int64); isNumber {
		y, _ := b.(int64)
		return cmp.Compare(x, y)
	}
	if a == nil || b == nil {
		return 0
	}
	return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

// page cuts one page out of a list: by number with X- headers and Link, or, when the request asks for pagination=keyset and the list
// is ordered by the field keyset, by a cursor in Link.
func page(s *Server, r *request, list []object, keyset string) (reply, error) {
	size := min(r.number("per_page", defaultPerPage), maxPerPage)
	if size < 1 {
		return reply{}, invalid("per_page has a value not allowed")
	}
	if r.text("pagination") == "keyset" {
		if keyset == "" {
			return reply{}, &apiError{http.StatusMethodNotAllowed, object{
				"error": "Keyset pagination is not yet available for this type of request",
			}}
		}
		return keysetPage(s, r, list, keyset, size), nil
	}
	number := max(r.number("page", 1), 1)
	pages := max((len(list)+size-1)/size, 1)
	from := min((number-1)*size, len(list))
	to := min(from+size, len(list))
	h := http.Header{}
	set := func(key string, n int) {
		value := ""
		if n > 0 {
			value = strconv.Itoa(n)
		}
		h.Set(key, value)
	}
	set("X-Page", number)
	set("X-Per-Page", size)
	set("X-Prev-Page", number-1)
	next := 0
	if to < len(list) {
		next = number + 1
	}
	set("X-Next-Page", next)
	links := []string{}
	add := func(rel string, n int) {
		if n > 0 {
			links = append(links, s.link(r, rel, map[string]string{"page": strconv.Itoa(n), "per_page": strconv.Itoa(size)}))
		}
	}
	add("prev", number-1)
	add("next", next)
	add("first", 1)
	if len(list) <= totalsUntil {
		h.Set("X-Total", strconv.Itoa(len(list)))
		h.Set("X-Total-Pages", strconv.Itoa(pages))
		add("last", pages)
	}
	h.Set("Link", strings.Join(links, ", "))
	return reply{code: http.StatusOK, header: h, body: list[from:to]}, nil
}

// keysetPage continues after the item that page_token or cursor names. New items never shift later pages.
func keysetPage(s *Server, r *request, list []object, keyset string, size int) reply {
	param := "cursor"
	if keyset == "name" {
		param = "page_token"
	}
	from := 0
	if token := r.text(param); token != "" {
		from = len(list)
		for i, o := range list {
			if fmt.Sprint(o[keyset]) == token {
				from = i + 1
				break
			}
		}
	}
	to := min(from+size, len(list))
	h := http.Header{}
	if to < len(list) {
		h.Set("Link", s.link(r, "next", map[string]string{param: fmt.Sprint(list[to-1][keyset])}))
	}
	return reply{code: http.StatusOK, header: h, body: list[from:to]}
}

func (s *Server) link(r *request, rel string, change map[string]string) string {
	query := url.Values{}
	for key, values := range r.url.Query() {
		if key != "private_token" {
			query[key] = values
		}
	}
	for key, value := range change {
		query.Set(key, value)
	}
	return fmt.Sprintf("<%s%s?%s>; rel=%q", s.url, r.url.EscapedPath(), query.Encode(), rel)
}
