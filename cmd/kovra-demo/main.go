// Command kovra-demo runs Kovra on one machine with no account anywhere: a small
// Slack, a small GitLab and between them the real thing, all of it talking real
// HTTP on loopback addresses. Builds run on a small Kubernetes cluster with Tekton, a
// simulated one, too.
//
// It owns the page that people look at, the panel that plays GitLab and the cluster, and
// the story that is told at the start. Run it as `go run ./cmd/kovra-demo`; the first line
// that it prints is the address of the page. It keeps its state in a temporary
// directory and takes it away at the end.
//
// It never lets the panel change what the page shows, except through Kovra: the
// panel changes GitLab and the cluster only, and the page shows Slack only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// usualAddress is tried first, so that the page is found again after a restart.
const usualAddress = "127.0.0.1:8321"

// anyPort is an address that nobody else has.
const anyPort = "127.0.0.1:0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "kovra-demo:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	listen string // "": the usual address, or any if that is taken
	quiet  bool
	story  bool

	kubeconfig, registry, repository string // of a real cluster
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	var noStory bool
	flags := flag.NewFlagSet("kovra-demo", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&o.listen, "listen", "", "`address` of the page (default "+usualAddress+", or any free port)")
	flags.BoolVar(&o.quiet, "quiet", false, "print the address and nothing else")
	flags.BoolVar(&noStory, "no-story", false, "begin with empty channels, and let no job move by itself")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` that leads to a real cluster, with manifests/tekton applied: builds run there. "+
		"Needs -registry and -repository")
	flags.StringVar(&o.registry, "registry", "", "image `prefix` that builds on a real cluster push to")
	flags.StringVar(&o.repository, "repository", "", "`URL` of a git repository that builds on a real cluster clone. A project of the simulated GitLab stands "+
		"for it; the other projects are made up, and their builds fail in the clone")
	flags.String("config", "", "ignored, so that the flags of kovra can be kept")
	err := flags.Parse(args)
	o.story = !noStory
	if err == nil && (o.kubeconfig != "" || o.registry != "" || o.repository != "") && (o.kubeconfig == "" || o.registry == "" || o.repository == "") {
		err = errors.New("-kubeconfig, -registry and -repository go together")
	}
	return o, err
}

// run shows the demo until ctx ends.
func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if !o.quiet {
		// Warnings are what bad days look like, and those are asked for here.
		log = slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	page, err := listen(ctx, o.listen)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, page, o, log)
	if err != nil {
		return errors.Join(err, page.Close())
	}
	return w.run(ctx, func() {
		_, _ = fmt.Fprintln(out, w.pageURL) // a demo that nobody reads is shown all the same
		if !o.quiet {
			_, _ = fmt.Fprintln(errs, "The demo of Kovra is at the address above. Everything is simulated, except Kovra. Ctrl-C ends it.")
		}
	})
}

// listen opens the page's address. One that was asked for must be free.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	if address == "" {
		if ln, err := lc.Listen(ctx, "tcp", usualAddress); err == nil {
			return ln, nil
		}
		address = anyPort
	}
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return ln, nil
}
