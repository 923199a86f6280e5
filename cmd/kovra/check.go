package main

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	installation "kovra.dev/chatops/internal/check"
	"kovra.dev/chatops/tekton"
)

// errWrong ends the program with exit code 1 after a report that says why.
var errWrong = errors.New("something is wrong")

func check(file *string) *cobra.Command {
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with this installation, and how to mend it",
		Long: "Look at the configuration, the database, Slack, GitLab and the linked projects, the public address and the cluster, and say what is\n" +
			"wrong and how to mend it. Nothing is changed, here or anywhere else. It works beside a running server and before the first start; run it\n" +
			"as the user and in the place that the server runs in.\n\n" +
			"The exit code is 1 when something is wrong, and 0 otherwise, also with warnings. docs/check.md lists all that can be found.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tekton.LogTo(slog.New(slog.DiscardHandler))
			report := installation.Run(cmd.Context(), installation.Options{Environ: os.Environ(), File: *file, Timeout: timeout})
			write := report.Text
			if asJSON {
				write = report.JSON
			}
			if err := write(cmd.OutOrStdout()); err != nil {
				return err
			}
			if report.ExitCode() != 0 {
				return errWrong
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of {id, subject, status, what, mend}")
	cmd.Flags().DurationVar(&timeout, "timeout", installation.DefaultTimeout, "how long the whole may take")
	return cmd
}
