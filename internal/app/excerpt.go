package app

import (
	"context"
	"io"

	"kovra.dev/chatops/internal/joblog"
	"kovra.dev/chatops/internal/kovra"
)

// Bounds of an excerpt in Slack: with numbers and fence it stays well under the
// 3,000 characters of a section.
const (
	excerptLines = 20
	excerptBytes = 2200
)

// excerpt cuts a log for Slack.
func excerpt(ctx context.Context, log io.Reader) (kovra.Excerpt, error) {
	cut, err := joblog.Cut(ctx, log, joblog.Options{MaxLines: excerptLines, MaxBytes: excerptBytes, Mask: joblog.NewMasker(nil)})
	if err != nil {
		return kovra.Excerpt{}, err
	}
	e := kovra.Excerpt{Total: cut.Total, First: cut.First}
	for _, l := range cut.Lines {
		e.Lines = append(e.Lines, kovra.ExcerptLine{N: l.N, Text: l.Text, Hidden: l.Hidden})
	}
	return e, nil
}
