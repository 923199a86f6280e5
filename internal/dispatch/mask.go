package dispatch

import (
	"context"
	"strings"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// prints are what is kept of values that are wiped: enough to know their lines again in
// a log, not enough to read them.
func (d *Dispatch) prints(vars []kovra.Variable) []kovra.Print {
	var out []kovra.Print
	for _, v := range vars {
		for _, line := range joblog.SecretLines(v.Value) {
			out = append(out, d.db.Print(line))
		}
	}
	return out
}

// masker hides in the log of a job what looks like a secret, and the values that we
// gave to its run; run is ours, 0 for a run that we do not know. It serves one log.
func (d *Dispatch) masker(ctx context.Context, run int64) (*joblog.Masker, error) {
	m := joblog.NewMasker(nil)
	if run == 0 {
		return m, nil
	}
	prints, err := d.injected(ctx, run)
	if err != nil {
		return nil, err
	}
	if finder := d.db.Finder(prints); !finder.Empty() {
		m = m.Also(func(line string) string { return hide(finder, line) })
	}
	return m, nil
}

// injected returns the prints of the values that we gave to a run, or to the pipeline
// that it is a child of. A start whose end is not known yet may be the one that made it.
func (d *Dispatch) injected(ctx context.Context, id int64) ([]kovra.Print, error) {
	var out []kovra.Print
	err := d.db.Read(ctx, func(tx *storage.Tx) error {
		run, err := tx.Run(id)
		if err != nil {
			return err
		}
		top, known, err := topmost(tx, run)
		if err != nil {
			return err
		}
		if known {
			if out, err = printsOf(tx, top.ID); err != nil {
				return err
			}
		}
		open, err := tx.OpenActions(kovra.ActRun)
		for _, a := range open {
			if a.State == kovra.ActionTried && (!known || a.Params.Ref == top.Ref) {
				out = append(out, a.Params.Prints...)
			}
		}
		return err
	})
	return out, err
}

// printsOf returns the prints of all actions on a run; its start is the oldest of them.
func printsOf(tx *storage.Tx, run int64) ([]kovra.Print, error) {
	var out []kovra.Print
	for q := (storage.ActionQuery{Run: run, Limit: 100}); ; {
		actions, err := tx.Actions(q)
		if err != nil || len(actions) == 0 {
			return out, err
		}
		for _, a := range actions {
			out = append(out, a.Params.Prints...)
			q.Before = a.ID
		}
	}
}

// hide masks what finder finds in a line.
func hide(finder *storage.Finder, line string) string {
	places := finder.Find(line)
	if len(places) == 0 {
		return line
	}
	var out strings.Builder
	from := 0
	for _, p := range places {
		out.WriteString(line[from:p[0]])
		out.WriteString(joblog.Masked)
		from = p[1]
	}
	out.WriteString(line[from:])
	return out.String()
}
