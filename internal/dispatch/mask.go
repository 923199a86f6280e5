package dispatch

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	masked = "[MASKED]"
	// shortest is the length below which a value is no secret but a word that occurs anyway.
	shortest = 6
)

// prints are what is kept of values that are wiped: enough to know them again in a
// log, not enough to read them.
func (d *Dispatch) prints(vars []kovra.Variable) []kovra.Print {
	var out []kovra.Print
	for _, v := range vars {
		if len(v.Value) >= shortest {
			out = append(out, kovra.Print{Len: len(v.Value), Sum: d.db.Fingerprint(v.Value)})
		}
	}
	return out
}

// injected returns the prints of the values that we gave to a run, or to the pipeline
// that it is a child of; the longest first, since a short value may be a part of a long one.
func (d *Dispatch) injected(ctx context.Context, id int64) ([]kovra.Print, error) {
	var out []kovra.Print
	err := d.db.Read(ctx, func(tx *storage.Tx) error {
		run, err := tx.Run(id)
		if err != nil {
			return err
		}
		top, known, err := topmost(tx, run)
		if err != nil || !known {
			return err
		}
		actions, err := tx.Actions(storage.ActionQuery{Run: top.ID, Limit: 100})
		for _, a := range actions {
			out = append(out, a.Params.Prints...)
		}
		return err
	})
	slices.SortFunc(out, func(a, b kovra.Print) int { return cmp.Compare(b.Len, a.Len) })
	return out, err
}

// hide masks every place of an excerpt that has one of the prints.
func (d *Dispatch) hide(e kovra.Excerpt, prints []kovra.Print) kovra.Excerpt {
	for i := range e.Lines {
		for _, p := range prints {
			e.Lines[i].Text = d.hideIn(e.Lines[i].Text, p)
		}
	}
	return e
}

func (d *Dispatch) hideIn(line string, p kovra.Print) string {
	var out strings.Builder
	for at := 0; at < len(line); {
		if at+p.Len <= len(line) && d.db.Known(line[at:at+p.Len], p.Sum) {
			out.WriteString(masked)
			at += p.Len
			continue
		}
		out.WriteByte(line[at])
		at++
	}
	return out.String()
}
