package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// widest is the longest subject that still makes its column wider.
const widest = 36

// JSON writes the report as a list.
func (r Report) JSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if r == nil {
		r = Report{}
	}
	return e.Encode(r)
}

// Text writes the report for people: a line for each finding, by area, what is wrong and its mend below, and a sum
// at the end.
func (r Report) Text(out io.Writer) error {
	var text strings.Builder
	for _, a := range areas {
		var own []Finding
		for _, f := range r {
			if strings.HasPrefix(f.ID, a.id+".") {
				own = append(own, f)
			}
		}
		if len(own) > 0 {
			text.WriteString(a.title + "\n")
			writeArea(&text, own)
			text.WriteString("\n")
		}
	}
	text.WriteString(r.sum() + "\n")
	_, err := io.WriteString(out, text.String())
	return err
}

func writeArea(out *strings.Builder, own []Finding) {
	width := 0
	for _, f := range own {
		if n := utf8.RuneCountInString(f.Subject); n <= widest {
			width = max(width, n)
		}
	}
	for _, f := range own {
		beside := f.What
		if f.Mend != "" {
			beside = f.ID
		}
		pad := strings.Repeat(" ", max(width-utf8.RuneCountInString(f.Subject), 0))
		fmt.Fprintf(out, "  %s\n", strings.TrimRight(fmt.Sprintf("%-9s%s%s   %s", f.Status, f.Subject, pad, beside), " "))
		if f.Mend != "" {
			fmt.Fprintf(out, "           %s\n           → %s\n", f.What, f.Mend)
		}
	}
}

// sum counts by status.
func (r Report) sum() string {
	n := map[Status]int{}
	for _, f := range r {
		n[f.Status]++
	}
	warnings := "warnings"
	if n[Warning] == 1 {
		warnings = "warning"
	}
	text := fmt.Sprintf("%d ok, %d wrong, %d %s, %d skipped.", n[OK], n[Wrong], n[Warning], warnings, n[Skipped])
	switch {
	case n[Wrong] > 0:
		return text + " The ids are explained in docs/check.md."
	case n[Warning] > 0:
		return text + " Nothing is wrong."
	}
	return text + " All is well."
}
