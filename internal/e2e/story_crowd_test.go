package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// crowd are many readers of one live log. Each checks what it gets: every line once, in order.
type crowd struct {
	leave context.CancelFunc
	all   sync.WaitGroup
	ended atomic.Int64 // readers that were told the end, and got all lines before

	mu       sync.Mutex
	got      []int // lines of each
	problems []string
}

// log crowd N lets so many readers follow the log.
func logCrowd(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	n, err := c.number(0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.crowd = &crowd{leave: cancel, got: make([]int, n)}
	url := "http://" + s.address() + c.ts.Getenv("LOG") + "/stream"
	for i := range n {
		s.crowd.all.Go(func() {
			if err := s.crowd.read(ctx, s.client, url, i); err != nil {
				s.crowd.trouble("reader %d: %v", i, err)
			}
		})
	}
	return nil
}

func (w *crowd) trouble(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func (w *crowd) read(ctx context.Context, client *http.Client, url string, i int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	readEvents(bufio.NewScanner(resp.Body), func(event, id, data string) {
		switch event {
		case "line":
			w.mu.Lock()
			w.got[i]++
			n := w.got[i]
			w.mu.Unlock()
			if id != strconv.Itoa(n) || !strings.Contains(data, fmt.Sprintf(`"text":"line %d of the log`, n)) {
				w.trouble("reader %d got %s %.80s as its line %d", i, id, data, n)
			}
		case "end":
			w.ended.Add(1)
		}
	})
	return nil
}

// log crowded LINES waits until each of the crowd has that many lines.
func logCrowded(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	want, err := c.number(0)
	if err != nil {
		return err
	}
	w := s.crowd
	least := 0
	ok := s.until(func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		least = want
		for _, n := range w.got {
			least = min(least, n)
		}
		return least == want || len(w.problems) > 0
	})
	if !ok || len(w.problems) > 0 {
		return fmt.Errorf("somebody has %d lines; %q", least, w.problems)
	}
	return nil
}

// log dispersed waits until the whole crowd was told that the log is complete.
func logDispersed(s *story, _ *scriptLine) error {
	w := s.crowd
	if !s.until(func() bool { return int(w.ended.Load()) == len(w.got) }) {
		w.leave()
	}
	w.all.Wait()
	if len(w.problems) > 0 || int(w.ended.Load()) != len(w.got) {
		return fmt.Errorf("%d of %d heard of the end; %q", w.ended.Load(), len(w.got), w.problems)
	}
	return nil
}

// gitlab writes JOB FROM TO lets a running job write numbered lines.
func gitlabWrites(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	j, err := s.job(c, c.args[0])
	if err != nil {
		return err
	}
	from, err := c.number(1)
	if err != nil {
		return err
	}
	to, err := c.number(2)
	if err != nil {
		return err
	}
	var b strings.Builder
	for n := from; n <= to; n++ {
		fmt.Fprintf(&b, "line %d of the log, %s\n", n, strings.Repeat("about as long as lines are ", 3))
	}
	return s.lab.AppendTrace(j.ID, b.String())
}

var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// kovra memory MB prints the most memory that the program has used, which must be less; it
// says nothing where the system does not tell.
func kovraMemory(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	most, err := c.number(0)
	if err != nil {
		return err
	}
	p := s.running()
	if p == nil {
		return fmt.Errorf("it does not run")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	m := peak.FindSubmatch(text)
	if err != nil || m == nil {
		return nil // another system
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return err
	}
	c.out(fmt.Sprintf("at most %d MB so far", kb/1024))
	if kb/1024 > most {
		return fmt.Errorf("it used %d MB", kb/1024)
	}
	return nil
}
