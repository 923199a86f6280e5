// Command kovra is the relay between GitLab, Slack and Tekton.
//
// It owns flags, signals, exit codes and what is printed on a terminal; package
// internal/app does the rest. It is run as `kovra serve`; `kovra deliveries` looks
// after webhooks, and `kovra backup` copies the database, beside a running server;
// `kovra migrate` and `kovra restored` prepare a database for one. `kovra check` says
// what is wrong with an installation, and `kovra apply` makes the state that a file describes.
//
// It holds no logic that another program would miss, and links no simulator.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"kovra.dev/chatops/internal/app"
	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/tekton"
)

func main() { os.Exit(Main()) }

// exitError ends the program with another code than an error does; all is said already.
type exitError int

// Error names the code.
func (c exitError) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// Main runs the command line and returns the exit code: 0 for success, 1 for an
// error, which is printed, another one where the command says so.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := root().ExecuteContext(ctx); {
	case errors.Is(err, errWrong): // it was told already
		return 1
	case err != nil:
		if code, ok := errors.AsType[exitError](err); ok {
			return int(code)
		}
		fmt.Fprintln(os.Stderr, "kovra:", err)
		return 1
	}
	return 0
}

func root() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:           "kovra",
		Short:         "GitLab pipelines and image builds in Slack",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	cmd.PersistentFlags().StringVar(&file, "config", "", "YAML `file` with settings; environment variables win over it")
	cmd.AddCommand(serve(&file), check(&file), applyCommand(&file), exportCommand(&file), deliveries(&file), backup(&file), migrate(&file), restored(&file))
	return cmd
}

func serve(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the bot",
		Long:  "Run the bot until it is told to stop (SIGINT or SIGTERM).\n\nSettings, as environment variables or in the file of --config, which the environment wins over. A secret may also be given\nas …_FILE, a file that is read again while the bot runs.\n" + settings(),
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(os.Environ(), *file)
			if err != nil {
				return fmt.Errorf("the configuration has problems:\n%w", err)
			}
			log := logger(cfg)
			tekton.LogTo(log)
			err = app.Serve(cmd.Context(), cfg, app.Options{Log: log, Version: version()})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
}

// settings lists every setting for the help text.
func settings() string {
	var out strings.Builder
	for _, s := range config.Describe() {
		fmt.Fprintf(&out, "  %s\n      %s", s.Name, s.Help)
		if s.Default != "" {
			fmt.Fprintf(&out, " (default %s)", s.Default)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// logger writes to standard error: text for people at a terminal, JSON for machines.
func logger(cfg *config.Config) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	text := cfg.LogFormat == config.LogText
	if cfg.LogFormat == config.LogAuto {
		info, err := os.Stderr.Stat()
		text = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if text {
		return slog.New(slog.NewTextHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, opts))
}

// released is set by the linker for releases: -ldflags "-X main.released=v1.2.3".
var released string

// version is the release or, without one, what the Go toolchain knows of the commit.
func version() string {
	if released != "" {
		return released
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "dev-" + s.Value[:min(len(s.Value), 12)]
		}
	}
	return "dev"
}
