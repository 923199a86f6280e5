package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

var (
	freeDisk = regexp.MustCompile(`\d+ [GM]iB are free`)
	schemas  = regexp.MustCompile(`schema \d+`)
)

// kovra check [KEY=VALUE...] [--FLAG...] looks at the installation beside the server or without it. With ! it must find
// something wrong: exit code 1, and nothing on standard error.
func kovraCheck(s *story, c *scriptLine) error {
	args, settings := []string{"check"}, []string{}
	for _, a := range c.args {
		if strings.HasPrefix(a, "-") {
			args = append(args, a)
		} else {
			settings = append(settings, a)
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, storyPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Dir, cmd.Env = s.dir, s.environment(slices.Clone(settings))
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	text := strings.ReplaceAll(s.plain(string(out)), s.dir, "DIR")
	c.out(schemas.ReplaceAllString(freeDisk.ReplaceAllString(text, "SOME are free"), "schema N"))
	exit, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case complaint.Len() > 0:
		return fmt.Errorf("it complains: %s", complaint.String())
	case err != nil && (!failed || exit.ExitCode() != 1), failed != c.neg:
		return fmt.Errorf("it ended with %s:\n%s", fmt.Sprint(err), out)
	}
	return nil
}
