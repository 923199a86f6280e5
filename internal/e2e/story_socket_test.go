package e2e

import (
	"errors"
	"fmt"

	"kovra.dev/chatops/internal/slacksim"
)

// slack socket WORD [KIND] is about Socket Mode. on and off switch it; wait waits for a
// connection that takes something new; drop cuts all; warn tells them that they will end,
// and refresh ends them; cut and double are faults of the next envelope of that kind
// (slash_commands, interactive, events_api).
func slackSocket(s *story, c *scriptLine) error {
	if err := c.want(1, 2); err != nil {
		return err
	}
	kind := ""
	if len(c.args) == 2 {
		kind = c.args[1]
	}
	switch c.args[0] {
	case "on", "off":
		s.slack.SetSocketMode(c.args[0] == "on")
	case "wait":
		if !s.eventually(func() bool { return s.slack.Sockets() > 0 }) {
			return errors.New("no connection came")
		}
	case "drop":
		s.slack.DropSockets()
	case "warn":
		s.slack.WarnSockets()
	case "refresh":
		s.slack.RefreshSockets()
	case "cut":
		s.slack.Fault(slacksim.CutSocket(kind))
	case "double":
		s.slack.Fault(slacksim.DoubleEnvelope(kind))
	default:
		return fmt.Errorf("no such word: %q", c.args)
	}
	return nil
}
