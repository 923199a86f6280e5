package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/storage"
)

// toStdout as the file of a backup writes it to standard output.
const toStdout = "-"

func backup(file *string) *cobra.Command {
	var logs bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the database while the server runs",
		Long: "Copy the database, also while the server runs, to a new file, or with - to standard output. The copy is consistent and checked; it is complete before it gets its name.\n\n" +
			"To restore it: stop the server, put the file in the place of the database, start the server. It knows that it is a backup, and looks in Slack for " +
			"what was posted since.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := database(*file)
			if err != nil {
				return err
			}
			if args[0] == toStdout {
				if logs {
					return errors.New("--logs makes a second file: name a FILE")
				}
				return backupToStdout(cmd, path)
			}
			c, err := storage.Backup(cmd.Context(), path, args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			note(out, args[0], c)
			if err := backupLogs(cmd, path, args[0], logs); err != nil {
				return err
			}
			return tellKey(out, path)
		},
	}
	cmd.Flags().BoolVar(&logs, "logs", false, "copy the logs as well, beside FILE with -logs before the extension")
	return cmd
}

// backupToStdout writes the copy out; what is to be said of it goes to standard error.
func backupToStdout(cmd *cobra.Command, path string) error {
	c, err := storage.BackupTo(cmd.Context(), path, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	note(cmd.ErrOrStderr(), "standard output", c)
	return tellKey(cmd.ErrOrStderr(), path)
}

// note tells what a copy is, and what is odd about its schema.
func note(out io.Writer, to string, c storage.Copy) {
	_, _ = fmt.Fprintf(out, "%s: %s, schema %d, checked; it holds what was committed before %s\n", to, size(c.Size), c.Schema, c.At.UTC().Format(time.RFC3339))
	switch {
	case !c.Marked:
		_, _ = fmt.Fprintf(out, "schema %d does not say of itself that it is a backup: after putting it back run kovra restored\n", c.Schema)
	case c.Schema > c.Newest:
		_, _ = fmt.Fprintf(out, "it was written by a newer version of kovra (this one knows schema %d), which is needed to use it\n", c.Newest)
	}
}

// backupLogs copies the store of logs, if that is wanted.
func backupLogs(cmd *cobra.Command, path, to string, wanted bool) error {
	from := logsOf(path)
	out := cmd.OutOrStdout()
	if !wanted {
		_, _ = fmt.Fprintf(out, "without the logs, %s: --logs copies them too\n", from)
		return nil
	}
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		_, _ = fmt.Fprintln(out, "there are no logs yet")
		return nil
	}
	c, err := storage.Backup(cmd.Context(), from, logsOf(to))
	if err != nil {
		return fmt.Errorf("the database was copied, its logs were not: %w", err)
	}
	_, _ = fmt.Fprintf(out, "%s: %s of logs, checked\n", logsOf(to), size(c.Size))
	return nil
}

// logsOf is where the logs of a database are.
func logsOf(path string) string { return (&config.Config{DatabasePath: path}).LogsPath() }

// tellKey says what the backup is worth little without.
func tellKey(out io.Writer, path string) error {
	key := "the value of KOVRA_ENCRYPTION_KEY"
	if _, err := os.Stat(path + ".key"); err == nil {
		key = path + ".key (or, if it is set, " + key + ")"
	}
	_, err := fmt.Fprintf(out, "keep with it: %s; without it people must connect their GitLab accounts anew, and old links to logs open nothing\n", key)
	return err
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
}
