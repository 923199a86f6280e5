package tekton

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// cursor is a place in the log of a run: the step, and how far in it.
//
// The API can be asked for the lines of a container from a second on, and several lines may have one time. So a cursor keeps the time of
// the newest line and how many lines were told since the second before that one's: asked for the lines since then, the API gives the same
// ones again, and these are dropped. A line that is written a little late, with a time before its neighbour's, is found so too; and where
// the file has been rotated, and gives fewer lines than were told, the time keeps new ones from being dropped.
type cursor struct {
	task, step string
	attempt    int
	newest     time.Time // of the lines told; zero: the title alone
	since      int       // lines told since from()
	done       bool      // nothing more of this step
}

// overlap is how far before the newest line reading starts again.
const overlap = time.Second

// from is the second that lines are asked for from.
func (c cursor) from() time.Time { return c.newest.Truncate(time.Second).Add(-overlap) }

const cursorParts = 6

// String writes the cursor: task/step/attempt/nanoseconds/lines/state. Names of tasks and steps hold no slash.
func (c cursor) String() string {
	nanos, state := int64(0), "open"
	if !c.newest.IsZero() {
		nanos = c.newest.UnixNano()
	}
	if c.done {
		state = "done"
	}
	return fmt.Sprintf("%s/%s/%d/%d/%d/%s", c.task, c.step, c.attempt, nanos, c.since, state)
}

func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	parts := strings.Split(s, "/")
	if len(parts) != cursorParts {
		return cursor{}, badCursor(s)
	}
	c := cursor{task: parts[0], step: parts[1], done: parts[5] == "done"}
	var nanos int64
	var err [3]error
	c.attempt, err[0] = strconv.Atoi(parts[2])
	nanos, err[1] = strconv.ParseInt(parts[3], 10, 64)
	c.since, err[2] = strconv.Atoi(parts[4])
	if err != [3]error{} || c.task == "" || c.since < 0 {
		return cursor{}, badCursor(s)
	}
	if nanos != 0 {
		c.newest = time.Unix(0, nanos).UTC()
	}
	return c, nil
}

func badCursor(s string) error {
	return kovra.Errorf(kovra.Invalid, "%q is no place in the log of a run.", s)
}

// counter counts lines by the second, as far back as a cursor needs.
type counter struct {
	newest time.Time
	counts map[int64]int
}

func (n *counter) add(at time.Time) {
	if n.counts == nil {
		n.counts = map[int64]int{}
	}
	n.newest = later(n.newest, at)
	oldest := cursor{newest: n.newest}.from().Unix()
	if at.Unix() >= oldest {
		n.counts[at.Unix()]++
	}
	for second := range n.counts {
		if second < oldest {
			delete(n.counts, second)
		}
	}
}

func (n *counter) total() int {
	total := 0
	for _, count := range n.counts {
		total += count
	}
	return total
}
