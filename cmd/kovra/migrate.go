package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kovra.dev/chatops/storage"
)

func migrate(file *string) *cobra.Command {
	var status, noCopy bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of the database up to date",
		Long: "Bring the schema of the database up to date, which kovra serve does by itself at its start. No server may run meanwhile. " +
			"What is changed is copied before, beside the database; the newest such copy is kept.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := database(*file)
			if err != nil {
				return err
			}
			if status {
				return schemaStatus(cmd, path)
			}
			db, err := storage.Open(cmd.Context(), storage.Options{Path: path, Lock: true, NoCopy: noCopy})
			if err != nil {
				return serverRuns(err)
			}
			out, u := cmd.OutOrStdout(), db.Upgrade()
			switch {
			case u.From == u.To:
				_, err = fmt.Fprintf(out, "schema %d: nothing is to be done\n", u.To)
			case u.Copy == "":
				_, err = fmt.Fprintf(out, "upgraded from schema %d to %d, without a copy\n", u.From, u.To)
			default:
				_, err = fmt.Fprintf(out, "upgraded from schema %d to %d; as it was before: %s\n", u.From, u.To, u.Copy)
			}
			return closing(db, err)
		},
	}
	cmd.Flags().BoolVar(&status, "status", false, "only say what is to be done; works beside a running server")
	cmd.Flags().BoolVar(&noCopy, "no-copy", false, "make no copy before, where there is no room for one: have a backup")
	return cmd
}

func schemaStatus(cmd *cobra.Command, path string) error {
	s, err := storage.SchemaOf(cmd.Context(), path)
	if err != nil {
		return err
	}
	says := "nothing is to be done"
	switch {
	case s.Have > s.Newest:
		says = "it was written by a newer version of kovra, which is needed to use it"
	case s.Have < s.Newest:
		says = "kovra serve or kovra migrate brings it up to date"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "schema %d, this version knows %d: %s\n", s.Have, s.Newest, says)
	return err
}

// serverRuns says what to do about a server that runs.
func serverRuns(err error) error {
	if errors.Is(err, storage.ErrLocked) {
		return fmt.Errorf("%w: stop it first", err)
	}
	return err
}

func restored(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "restored TIME",
		Short: "Say that the database is a copy of an earlier time",
		Long: "Say that the database was put back from a copy that kovra backup did not make: a snapshot of a volume, for example. TIME is when that was made, " +
			"or a little earlier, as in 2026-11-29T09:00:00Z. The next start looks in Slack for what was posted since, instead of posting it again. No server may run meanwhile.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := time.Parse(time.RFC3339, args[0])
			if err != nil || at.After(time.Now()) {
				return fmt.Errorf("%q is no time before now, as in 2026-11-29T09:00:00Z", args[0])
			}
			path, err := database(*file)
			if err != nil {
				return err
			}
			db, err := storage.Open(cmd.Context(), storage.Options{Path: path, Lock: true})
			if err != nil {
				return serverRuns(err)
			}
			err = db.Update(cmd.Context(), func(tx *storage.Tx) error { return tx.MarkCopied(at) })
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "the next start takes the database for a copy of %s\n", at.UTC().Format(time.RFC3339))
			}
			return closing(db, err)
		},
	}
}
