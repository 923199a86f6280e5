package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"kovra.dev/chatops/internal/app"
	"kovra.dev/chatops/internal/apply"
	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	defaultTimeout = 10 * time.Minute
	// silence is after how long without any progress it is said that the server may not be running; one that runs notices within a second.
	silence = 15 * time.Second
	// changesExit is the exit code of --exit-code when there is something to do.
	changesExit = 2
	shownOpen   = 10 // steps that are named when the time is up
)

const applyHelp = `Make apps, links, subscriptions and settings of builds as a file says.

The file is compared with the state, the difference is printed, and then carried out by the running server as if an administrator
had asked for each part in Slack: the record (/kovra audit) shows it. Applied twice it does nothing the second time. Nothing is done of a
file in which anything is wrong. What is not in the file is left alone, unless --prune, or "prune: true" in the file, says otherwise.

It needs the settings of the server, so it is best run where the server runs. Who can do that has the database and the
tokens already: everything is allowed, and done with the bot's GitLab user. The policy file is about people in Slack.`

// applying are the flags of kovra apply.
type applying struct {
	config   string
	file     string
	as       string
	dryRun   bool
	prune    bool
	exitCode bool
	timeout  time.Duration

	out, err io.Writer
}

func applyCommand(file *string) *cobra.Command {
	var a applying
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make apps, subscriptions and settings as a file says",
		Long:  applyHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.config, a.out, a.err = *file, cmd.OutOrStdout(), cmd.ErrOrStderr()
			return a.run(cmd.Context(), cmd.InOrStdin())
		},
	}
	cmd.Flags().StringVarP(&a.file, "file", "f", "", "the YAML `file`; - is standard input")
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "print what would be done, and do nothing")
	cmd.Flags().BoolVar(&a.prune, "prune", false, "take away what is not in the file; asks nothing")
	cmd.Flags().BoolVar(&a.exitCode, "exit-code", false, "with --dry-run: end with exit code 2 when there is something to do")
	cmd.Flags().DurationVar(&a.timeout, "timeout", defaultTimeout, "how long to wait for the server; 0 does not wait")
	cmd.Flags().StringVar(&a.as, "as", "", "the `name` that is recorded; the operating system's user if left out")
	_ = cmd.MarkFlagRequired("file") // it exists
	return cmd
}

func (a *applying) run(ctx context.Context, stdin io.Reader) error {
	doc, err := a.read(stdin)
	if err != nil {
		return err
	}
	by, err := a.operator()
	if err != nil {
		return err
	}
	cfg, err := config.Load(os.Environ(), a.config)
	if err != nil {
		return fmt.Errorf("the configuration has problems:\n%w", err)
	}
	peers, err := app.NewPeers(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	db, err := open(ctx, a.config)
	if err != nil {
		return err
	}
	o := apply.Options{Prune: a.prune, NoBuilds: cfg.NoBuilds()}
	return closing(db, a.apply(ctx, db, doc, peers, o, by))
}

// apply compares, prints, and has the difference carried out.
func (a *applying) apply(ctx context.Context, db *storage.DB, doc *apply.Document, peers apply.Peers, o apply.Options, by kovra.Person) error {
	if err := a.earlier(ctx, db); err != nil {
		return err
	}
	var now apply.State
	err := db.Read(ctx, func(tx *storage.Tx) (err error) {
		now, err = apply.ReadState(tx)
		return err
	})
	if err != nil {
		return err
	}
	plan, err := apply.Prepare(ctx, doc, now, peers, o)
	if err != nil {
		return err
	}
	if err := plan.Print(a.out); err != nil {
		return err
	}
	steps := plan.Steps()
	switch {
	case a.dryRun && a.exitCode && len(steps) > 0:
		return exitError(changesExit)
	case a.dryRun, len(steps) == 0:
		return nil
	}
	ids, err := plan.Propose(ctx, db, doc, o, by)
	if err != nil {
		return err
	}
	return a.await(ctx, db, steps, ids)
}

// read reads the file and decodes it.
func (a *applying) read(stdin io.Reader) (*apply.Document, error) {
	from, name := stdin, "standard input"
	if a.file != "-" {
		f, err := os.Open(a.file)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // it was only read
		from, name = f, a.file
	}
	text, err := io.ReadAll(io.LimitReader(from, apply.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return apply.Decode(name, text)
}

// operator is who is recorded.
func (a *applying) operator() (kovra.Person, error) {
	if a.as != "" {
		p, err := kovra.Operator(a.as)
		if err != nil {
			err = fmt.Errorf("--as: %w", err)
		}
		return p, err
	}
	if u, err := user.Current(); err == nil {
		if p, err := kovra.Operator(u.Username); err == nil {
			return p, nil
		}
	}
	return kovra.Operator("uid-" + strconv.Itoa(os.Getuid())) // in a container nobody may have that number
}

// earlier waits for what was applied before: until then the state is not what it will be.
func (a *applying) earlier(ctx context.Context, db *storage.DB) error {
	var ids []int64
	err := db.Read(ctx, func(tx *storage.Tx) error {
		open, err := tx.OperatorActions()
		for _, one := range open {
			ids = append(ids, one.ID)
		}
		return err
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	a.say("%d changes of an earlier apply are still on their way.", len(ids))
	if a.dryRun {
		return nil
	}
	left, err := apply.Await(ctx, db, ids, func(int, kovra.Action) {}, a.patience())
	if err == nil && left > 0 {
		err = errors.New("nothing was done: the server has not finished what was applied before; is it running?")
	}
	return err
}

// patience waits until the time is up, and says once when nothing moves at all.
func (a *applying) patience() func([]kovra.Action) bool {
	began, moved, last := time.Now(), time.Now(), -1
	said := false
	return func(open []kovra.Action) bool {
		if len(open) != last {
			moved, last = time.Now(), len(open)
		}
		if !said && time.Since(moved) > silence {
			said = true
			a.say("Nothing has moved for %d seconds. Is the server running? What is written down is carried out when it starts.", int(silence.Seconds()))
		}
		return time.Since(began) < a.timeout
	}
}

// await prints what comes of each step.
func (a *applying) await(ctx context.Context, db *storage.DB, steps []apply.Step, ids []int64) error {
	if a.timeout == 0 {
		a.say("%d changes are written down. The running server carries them out, or the next start does.", len(ids))
		return nil
	}
	_, _ = fmt.Fprintln(a.out)
	failed := 0
	ended := make([]bool, len(ids))
	left, err := apply.Await(ctx, db, ids, func(place int, act kovra.Action) {
		ended[place] = true
		if act.State != kovra.ActionDone {
			failed++
		}
		for _, line := range steps[place].Result(act) {
			_, _ = fmt.Fprintln(a.out, line)
		}
	}, a.patience())
	if left > 0 {
		a.open(steps, ended, left)
	}
	switch {
	case err != nil && ctx.Err() == nil: // to be told not to wait any longer is no error of its own
		return err
	case left > 0 && failed > 0:
		return fmt.Errorf("%d of %d changes failed, and %d are not done yet", failed, len(ids), left)
	case left > 0:
		return fmt.Errorf("%d of %d changes are not done yet", left, len(ids))
	case failed > 0:
		return fmt.Errorf("%d of %d changes failed", failed, len(ids))
	}
	_, err = fmt.Fprintf(a.out, "%d done.\n", len(ids))
	return err
}

// open names the steps that are not done yet.
func (a *applying) open(steps []apply.Step, ended []bool, left int) {
	shown := 0
	for i, s := range steps {
		if ended[i] || shown == shownOpen {
			continue
		}
		shown++
		a.say("open    %s", s.Title)
	}
	if left > shown {
		a.say("        and %d more", left-shown)
	}
	a.say("They stay written down: the running server carries them out, or the next start does.")
}

// say tells what is no result.
func (a *applying) say(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format+"\n", args...) }

const exportHelp = `Write the apps, links, subscriptions and settings of builds as a file for kovra apply. It is sorted, and applied at once it changes nothing.

Channels are written by name, for which Slack is asked; with --ids they are written by id, which needs nothing but the database.
Secrets are not in it: values of build arguments that look like one are left out, and stay as they are when the file is applied.`

func exportCommand(file *string) *cobra.Command {
	var ids bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write apps, subscriptions and settings as a file for apply",
		Long:  exportHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := channelNames(cmd.Context(), *file, ids)
			if err != nil {
				return err
			}
			db, err := open(cmd.Context(), *file)
			if err != nil {
				return err
			}
			defer db.Close() //nolint:errcheck // it was only read
			var now apply.State
			err = db.Read(cmd.Context(), func(tx *storage.Tx) error {
				now, err = apply.ReadState(tx)
				return err
			})
			if err != nil {
				return err
			}
			text, err := apply.Export(now, names)
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&ids, "ids", false, "write channels by id, and ask nobody")
	return cmd
}

// channelNames asks Slack; nobody needs names where ids are wanted.
func channelNames(ctx context.Context, file string, ids bool) (map[string]string, error) {
	if ids {
		return nil, nil //nolint:nilnil // no names
	}
	cfg, err := config.Load(os.Environ(), file)
	if err != nil {
		return nil, fmt.Errorf("the configuration has problems (--ids needs only KOVRA_DATABASE_URL):\n%w", err)
	}
	peers, err := app.NewPeers(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	names, err := peers.Channels(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask Slack for its channels (--ids does without): %w", err)
	}
	return names, nil
}
