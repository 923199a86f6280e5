package storagetest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

func testLogSearch(w *logWorld) {
	id := w.filled(5,
		"Error: exit code 137",            // 1
		"no error here",                   // 2
		"",                                // 3
		"The Kelvin sign: 300 \u212a",     // 4
		"Long s: mi\u017ftake",            // 5
		"ÜBUNG macht den Meister",         // 6
		"übung\tmacht",                    // 7
		"aaaa",                            // 8
		"Straße, STRASSE",                 // 9
		"end of one",                      // 10
		"start of the next $HOME (a|b) x", // 11
	)
	all := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	for _, c := range []struct {
		q    storage.LogQuery
		want []int
	}{
		{storage.LogQuery{Text: "error"}, []int{1, 2}},
		{storage.LogQuery{Text: "ERROR"}, []int{1, 2}},
		{storage.LogQuery{Text: "Error", Case: true}, []int{1}},
		{storage.LogQuery{Text: "error", From: 2}, []int{2}},
		{storage.LogQuery{Text: "error", From: 3}, nil},
		{storage.LogQuery{Text: "error", From: 99}, nil},
		{storage.LogQuery{Text: ""}, all},
		{storage.LogQuery{Text: "", From: 10}, []int{10, 11}},
		{storage.LogQuery{Text: "300 k"}, []int{4}},
		{storage.LogQuery{Text: "300 k", Case: true}, nil},
		{storage.LogQuery{Text: "300 \u212a"}, []int{4}},
		{storage.LogQuery{Text: "MISTAKE"}, []int{5}},
		{storage.LogQuery{Text: "übung"}, []int{6, 7}},
		{storage.LogQuery{Text: "Übung m"}, []int{6}},
		{storage.LogQuery{Text: "übung", Case: true}, []int{7}},
		{storage.LogQuery{Text: "stra\u1e9ee"}, []int{9}},
		{storage.LogQuery{Text: "one\nstart"}, nil},
		{storage.LogQuery{Text: "$HOME (a|b)"}, []int{11}},
		{storage.LogQuery{Text: `error`, Regex: true}, []int{1, 2}},
		{storage.LogQuery{Text: `Error`, Regex: true, Case: true}, []int{1}},
		{storage.LogQuery{Text: `^error`, Regex: true}, []int{1}},
		{storage.LogQuery{Text: `^$`, Regex: true}, []int{3}},
		{storage.LogQuery{Text: `a*`, Regex: true}, all},
		{storage.LogQuery{Text: ``, Regex: true}, all},
		{storage.LogQuery{Text: `code \d+$`, Regex: true}, []int{1}},
		{storage.LogQuery{Text: `one\sstart`, Regex: true}, nil},
		{storage.LogQuery{Text: `one[^x]*start`, Regex: true}, nil},
		{storage.LogQuery{Text: `(?s)one.*start`, Regex: true}, nil},
		{storage.LogQuery{Text: `\Anext|next`, Regex: true}, []int{11}},
		{storage.LogQuery{Text: `mistake|kelvin`, Regex: true}, []int{4, 5}},
		{storage.LogQuery{Text: `300 k$`, Regex: true}, []int{4}},
		{storage.LogQuery{Text: `(?-i)error`, Regex: true}, []int{2}},
		{storage.LogQuery{Text: `ü.*?m`, Regex: true}, []int{6, 7}},
		{storage.LogQuery{Text: `\bhere\b`, Regex: true}, []int{2}},
	} {
		w.same(fmt.Sprintf("%+v", c.q), c.want, w.search(id, c.q))
	}
	empty := w.touch(6).ID
	w.same("an empty log", []int(nil), w.search(empty, storage.LogQuery{Text: ""}))
	for _, q := range []storage.LogQuery{
		{Text: "(", Regex: true},
		{Text: "a)(b", Regex: true},
		{Text: `(?<=a)b`, Regex: true},
		{Text: "((a{100}){100}){100}", Regex: true},
		{Text: `(\pL{100}){90}`, Regex: true},
		{Text: strings.Repeat("a", 1001)},
		{Text: strings.Repeat("a", 1001), Regex: true},
		{Text: "\xff"},
	} {
		_, err := storage.NewMatcher(q)
		if kovra.KindOf(err) != kovra.Invalid || !strings.HasSuffix(kovra.PublicText(err), ".") {
			w.t.Errorf("%.20q: %v", q.Text, err)
		}
		if err := lastError(w.logs.Search(w.t.Context(), id, q)); kovra.KindOf(err) != kovra.Invalid {
			w.t.Errorf("search %.20q: %v", q.Text, err)
		}
	}
}

func testLogSearchLarge(w *logWorld) {
	lines := manyLines(30_000)
	var want []int
	for i := range lines {
		if i%997 == 5 {
			lines[i].Text += " NEEDLE"
			want = append(want, lines[i].N)
		}
	}
	id := w.many(5, lines, 5000)
	for _, q := range []storage.LogQuery{
		{Text: "needle"},
		{Text: "NEEDLE", Case: true},
		{Text: "nee+dle$", Regex: true},
		{Text: "[N]{1}[E]{2}DLE", Regex: true},
	} {
		for _, from := range []int{0, 1, want[3], want[3] + 1, 29_999} {
			q.From = from
			i, _ := slices.BinarySearch(want, from)
			w.same(fmt.Sprintf("%+v", q), want[i:], w.search(id, q))
		}
	}
}

func testLogSearchStops(w *logWorld) {
	id := w.many(5, manyLines(30_000), 5000)
	parts := 0
	for h, err := range w.logs.Search(w.t.Context(), id, storage.LogQuery{Text: "line"}) {
		w.must(err)
		if parts++; len(h.Numbers) == 0 || h.Numbers[0] != 1 {
			w.t.Errorf("the first part begins with %v", h.Numbers[:min(3, len(h.Numbers))])
		}
		break
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var last error
	for _, err := range w.logs.Search(ctx, id, storage.LogQuery{Text: "line"}) {
		cancel()
		last = err
	}
	cancel()
	if last == nil {
		w.t.Error("a cancelled search tells of no error")
	}
	if parts != 1 {
		w.t.Errorf("%d parts", parts)
	}
}
