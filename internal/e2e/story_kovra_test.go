package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"kovra.dev/chatops/storage"
)

// kovraCommands start, stop and look at the program.
var kovraCommands = map[string]storyCommand{
	"start": kovraStart,
	"stop":  kovraStop,
	"crash": kovraCrash,
	"run":   kovraRun,
	"check": kovraCheck,
	"log":   kovraLog,
	"logs":  kovraLogs,
	"hides": kovraHides,

	"hidestokens": kovraHidesTokens,

	"putback": kovraPutBack,
	"copy":    kovraCopy,

	"memory": kovraMemory,
	"settle": kovraSettle,
	"looked": kovraLooked,
}

// process is one life of the program.
type process struct {
	cmd     *exec.Cmd
	begun   time.Time
	address string
	ended   chan struct{} // closed when it ended
}

// environment is what the program is given; a script adds to it or, with an empty
// value, takes away.
func (s *story) environment(more []string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir,
		"KOVRA_LISTEN=127.0.0.1:0", "KOVRA_PUBLIC_URL=" + s.publicURL, "KOVRA_DATABASE_URL=sqlite:" + filepath.Join(s.dir, "kovra.db"),
		"KOVRA_SLACK_API_URL=" + s.slackURL + "/api/", "KOVRA_SLACK_BOT_TOKEN=xoxb-sim", "KOVRA_SLACK_SIGNING_SECRET=sim-secret",
		"KOVRA_GITLAB_URL=" + s.labURL, "KOVRA_GITLAB_TOKEN=glpat-sim", "KOVRA_GITLAB_WEBHOOK_SECRET=" + storySecret,
		"KOVRA_ADMINS=" + userID("alice"), "KOVRA_LOG_LEVEL=debug",
	}
	if s.cluster != nil {
		env = append(env, "KOVRA_KUBECONFIG="+s.cluster.kubeconfig, "KOVRA_REGISTRY="+storyRegistry, "KOVRA_BUILD_CONCURRENCY=2")
	}
	if i := slices.Index(more, "oauth"); i >= 0 {
		more = slices.Replace(slices.Clone(more), i, i+1, settingsOfOAuth()...)
	}
	for _, m := range more {
		key, value, _ := strings.Cut(m, "=")
		for i, e := range env {
			if strings.HasPrefix(e, key+"=") {
				env = append(env[:i], env[i+1:]...)
				break
			}
		}
		if value != "" {
			env = append(env, m)
		}
	}
	return env
}

// kovra start [KEY=VALUE...] starts the program and waits until it is ready. With ! it
// must refuse to start, with exit code 1; its reasons are the output.
func kovraStart(s *story, c *scriptLine) error {
	if s.running() != nil {
		return errors.New("it runs already")
	}
	cmd := exec.CommandContext(s.ctx, s.program, "serve")
	cmd.Dir, cmd.Env = s.dir, s.environment(c.args)
	if c.neg {
		return s.mustRefuse(c, cmd)
	}
	p, told, err := s.launch(cmd)
	if err != nil {
		return err
	}
	select {
	case p.address = <-told:
	case <-p.ended:
		return fmt.Errorf("it did not start:\n%s", s.logged())
	case <-time.After(storyPatience):
		return errors.Join(errors.New("it says no address"), cmd.Process.Kill())
	}
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	if !s.until(func() bool {
		code, err := s.send(s.ctx, http.MethodGet, "http://"+p.address+"/readyz", nil, nil, nil)
		return err == nil && code == http.StatusOK
	}) {
		return errors.New("it is not ready")
	}
	return nil
}

// launch starts a life of the program; it tells its address once it listens.
func (s *story) launch(cmd *exec.Cmd) (p *process, told <-chan string, err error) {
	p = &process{cmd: cmd, begun: time.Now(), ended: make(chan struct{})}
	address := make(chan string, 1)
	cmd.Stderr = &lifeLog{s: s, told: address}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	return p, address, nil
}

func (s *story) mustRefuse(c *scriptLine, cmd *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(s.ctx, storyPatience)
	defer cancel()
	refused := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	refused.Dir, refused.Env = cmd.Dir, cmd.Env
	out, err := refused.CombinedOutput()
	c.out(string(out))
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		return fmt.Errorf("it ended with %s, not with exit code 1:\n%s", fmt.Sprint(err), out)
	}
	return nil
}

func (s *story) running() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// signal ends the program and returns how it ended.
func (s *story) signal(how os.Signal) error {
	p := s.running()
	if p == nil {
		return errors.New("it does not run")
	}
	if err := p.cmd.Process.Signal(how); err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(storyPatience):
		return errors.Join(errors.New("it does not end"), p.cmd.Process.Kill())
	}
	s.mu.Lock()
	s.proc = nil
	s.mu.Unlock()
	if how != os.Kill && p.cmd.ProcessState.ExitCode() != 0 {
		return fmt.Errorf("it ended with %v", p.cmd.ProcessState)
	}
	return nil
}

// kovra stop ends the program as a supervisor does.
func kovraStop(s *story, _ *scriptLine) error { return s.signal(syscall.SIGTERM) }

// kovra crash kills the program.
func kovraCrash(s *story, _ *scriptLine) error { return s.signal(os.Kill) }

// end kills what still runs after a script.
func (s *story) end() {
	if s.running() != nil {
		_ = s.signal(os.Kill)
	}
}

// kovra run WORD... runs another command of the program, beside the server or without it.
func kovraRun(s *story, c *scriptLine) error {
	ctx, cancel := context.WithTimeout(s.ctx, storyPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, c.args...)
	cmd.Dir, cmd.Env = s.dir, s.environment(nil)
	out, err := cmd.CombinedOutput()
	c.out(stamps.ReplaceAllString(s.plain(string(out)), "STAMP"))
	if (err != nil) != c.neg {
		return fmt.Errorf("it ended with %s:\n%s", fmt.Sprint(err), out)
	}
	return nil
}

var stamps = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// kovra log prints what the program logged.
func kovraLog(s *story, c *scriptLine) error {
	c.out(s.logged())
	return nil
}

// kovra logs TEXT TIMES waits until the program has logged so many lines with that text in them.
func kovraLogs(s *story, c *scriptLine) error {
	n, err := c.number(1)
	if err != nil {
		return err
	}
	if !s.until(func() bool { return strings.Count(s.logged(), c.args[0]) >= n }) {
		return fmt.Errorf("it did not log %q %d times:\n%s", c.args[0], n, s.logged())
	}
	return nil
}

func (s *story) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.log)
}

// kovra hides VALUE... checks that the values are nowhere in the log and in the files of
// the database. With ! they must be there, which proves that the check can find things.
func kovraHides(s *story, c *scriptLine) error {
	places, err := s.written()
	if err != nil {
		return err
	}
	for _, value := range c.args {
		found := ""
		for where, text := range places {
			if strings.Contains(text, value) {
				found = where
			}
		}
		if (found != "") != c.neg {
			return fmt.Errorf("%q: found in %q", value, found)
		}
	}
	return nil
}

// written is all that the program has written, by where: its log, its files, what Slack got, the pages of browsers.
func (s *story) written() (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "kovra.db*"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no database: %w", err)
	}
	places := map[string]string{"the log": s.logged()}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		places[filepath.Base(f)] = string(text)
	}
	var said strings.Builder
	for _, k := range s.slack.Calls() {
		for name, values := range k.Form {
			fmt.Fprintln(&said, name, values)
		}
	}
	places["Slack"] = said.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	places["pages"] = strings.Join(s.pages, "\n")
	return places, nil
}

// kovra settle waits until GitLab has nothing more to send and the program nothing more to do.
func kovraSettle(s *story, _ *scriptLine) error {
	if s.running() == nil {
		return errors.New("it does not run")
	}
	db, err := storage.Open(s.ctx, storage.Options{Path: filepath.Join(s.dir, "kovra.db")})
	if err != nil {
		return err
	}
	defer db.Close()
	left, quiet := "", 0
	settled := s.until(func() bool {
		left = ""
		if s.sending.Load() {
			left = "a webhook is on its way"
		}
		if n := len(s.lab.Waiting()); n > 0 {
			left = fmt.Sprintf("%d webhooks wait", n)
		}
		for ref, err := range db.Dirty(s.ctx) {
			left += fmt.Sprint(" ", ref, err)
		}
		quiet++
		if left != "" {
			quiet = 0
		}
		return quiet >= 3
	})
	if !settled {
		return fmt.Errorf("not settled: %s", left)
	}
	return nil
}

// kovra looked waits until the program has re-read every linked project and looked at its webhook since it started.
func kovraLooked(s *story, _ *scriptLine) error {
	p := s.running()
	if p == nil {
		return errors.New("it does not run")
	}
	db, err := storage.Open(s.ctx, storage.Options{Path: filepath.Join(s.dir, "kovra.db")})
	if err != nil {
		return err
	}
	defer db.Close()
	left := ""
	if !s.until(func() bool {
		left = ""
		err := db.Read(s.ctx, func(tx *storage.Tx) error {
			projects, err := tx.LinkedProjects()
			for _, one := range projects {
				if !one.ReadAt.After(p.begun) || !one.Seen.At.After(p.begun) {
					left += " " + one.Path
				}
			}
			return err
		})
		return err == nil && left == ""
	}) {
		return fmt.Errorf("not looked at:%s", left)
	}
	return nil
}

// lifeLog keeps what one life of the program logs and finds its address in it.
type lifeLog struct {
	s    *story
	told chan<- string
	line []byte
}

// Write implements io.Writer.
func (l *lifeLog) Write(p []byte) (int, error) {
	l.s.mu.Lock()
	l.s.log = append(l.s.log, p...)
	l.s.mu.Unlock()
	if l.told == nil {
		return len(p), nil
	}
	l.line = append(l.line, p...)
	for {
		line, rest, ok := bytes.Cut(l.line, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.line = rest
		var entry struct{ Msg, Address string }
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "kovra serves" {
			l.told <- entry.Address
			l.told = nil
			return len(p), nil
		}
	}
}
