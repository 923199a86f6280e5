package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// logCommands read a log as the viewer's page does: the one that was opened last, whose
// address is $LOG.
var logCommands = map[string]storyCommand{
	"info":   logInfo,
	"wait":   logWait,
	"lines":  logLines,
	"search": logSearch,
	"follow": logFollow,
	"got":    logGot,
	"came":   logCame,
	"check":  logCheck,
	"ended":  logEnded,
	"seen":   logSeen,
	"leave":  logLeave,

	"crowd":     logCrowd,
	"crowded":   logCrowded,
	"dispersed": logDispersed,
}

// shownInfo are the facts of a log that are the same in every run.
var shownInfo = []string{"name", "stage", "status", "shown", "pipeline", "ref", "lines", "done", "truncated", "streams", "note"}

// ofLog asks for a part of the log that is open.
func (s *story) ofLog(c *scriptLine, part string) ([]byte, error) {
	var answer bytes.Buffer
	code, err := s.send(s.ctx, http.MethodGet, "http://"+s.address()+c.ts.Getenv("LOG")+part, nil, nil, &answer)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s: it answered %d: %s", part, code, answer.String())
	}
	return answer.Bytes(), err
}

func (s *story) logInfo(c *scriptLine) (map[string]any, error) {
	text, err := s.ofLog(c, "/info")
	if err != nil {
		return nil, err
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	var info map[string]any
	return info, in.Decode(&info)
}

// log info prints what is known of the log.
func logInfo(s *story, c *scriptLine) error {
	info, err := s.logInfo(c)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, key := range shownInfo {
		if v, ok := info[key]; ok && v != "" {
			fmt.Fprintf(&b, "%s %v\n", key, v)
		}
	}
	c.out(b.String())
	return nil
}

// log wait KEY VALUE waits until a fact of the log has a value.
func logWait(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	last := ""
	ok := s.until(func() bool {
		info, err := s.logInfo(c)
		last = fmt.Sprint(info[c.args[0]], err)
		return err == nil && fmt.Sprint(info[c.args[0]]) == c.args[1]
	})
	if !ok {
		return fmt.Errorf("%s is %s", c.args[0], last)
	}
	return nil
}

// logLine is a line as it is sent.
type logLine struct {
	N                          int
	Stream, Text               string
	Spans, Hits                [][]any
	Suspect, Header, Collapsed bool
	Depth                      int
}

// String is "7 E text {suspect depth=1}".
func (l logLine) String() string {
	var more []string
	for i, has := range []bool{l.Header, l.Collapsed, l.Suspect} {
		if has {
			more = append(more, []string{"header", "collapsed", "suspect"}[i])
		}
	}
	for _, h := range l.Hits {
		more = append(more, fmt.Sprintf("hit=%v-%v", h[0], h[1]))
	}
	text := fmt.Sprintf("%d %s %s", l.N, l.Stream, l.Text)
	if len(more) > 0 {
		text += " {" + strings.Join(more, " ") + "}"
	}
	return text
}

// log lines QUERY prints lines.
func logLines(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	text, err := s.ofLog(c, "/lines?"+c.args[0])
	if err != nil {
		return err
	}
	var got struct {
		Lines []logLine
		Total int
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return err
	}
	var b strings.Builder
	for _, l := range got.Lines {
		fmt.Fprintln(&b, l)
	}
	c.out(b.String())
	return nil
}

// log search QUERY prints the numbers of the lines that match.
func logSearch(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	text, err := s.ofLog(c, "/search?"+c.args[0])
	if err != nil {
		return err
	}
	var numbers []string
	done := false
	for line := range bytes.Lines(text) {
		var part struct {
			Numbers []int
			Done    bool
			Matches int
		}
		if err := json.Unmarshal(line, &part); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		for _, n := range part.Numbers {
			numbers = append(numbers, strconv.Itoa(n))
		}
		if done = part.Done; done && part.Matches != len(numbers) {
			return fmt.Errorf("%d matches are told and %d were sent", part.Matches, len(numbers))
		}
	}
	if !done {
		return fmt.Errorf("the search has no end: %s", text)
	}
	c.out(strings.Join(numbers, " "))
	return nil
}

// follower is a reader of a live log, as a browser is one.
type follower struct {
	leave context.CancelFunc
	over  chan struct{} // closed when the connection has ended

	mu    sync.Mutex
	lines []logLine
	ends  []string // data of the events that say that the log is complete
}

// log follow NAME [after=N] [last=N] begins to read the stream.
func logFollow(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	path := c.ts.Getenv("LOG") + "/stream"
	if after := c.options["after"]; after != "" {
		path += "?after=" + after
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address()+path, nil)
	if err != nil {
		cancel()
		return err
	}
	if last := c.options["last"]; last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := s.client.Do(r) //nolint:bodyclose // follower.read closes it
	if err != nil {
		cancel()
		return err
	}
	f := &follower{leave: cancel, over: make(chan struct{})}
	s.followers[c.args[0]] = f
	go f.read(resp)
	if resp.StatusCode != http.StatusOK {
		cancel()
		return fmt.Errorf("it answered %s", resp.Status)
	}
	return nil
}

func (f *follower) read(resp *http.Response) {
	defer close(f.over)
	defer resp.Body.Close()
	readEvents(bufio.NewScanner(resp.Body), f.take)
}

// readEvents reads server-sent events until the connection ends.
func readEvents(in *bufio.Scanner, take func(event, id, data string)) {
	in.Buffer(nil, 1<<20)
	var event, id, data string
	for in.Scan() {
		field, value, _ := strings.Cut(in.Text(), ": ")
		switch field {
		case "":
			if event != "" {
				take(event, id, data)
			}
			event, id, data = "", "", ""
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			data = value
		}
	}
}

func (f *follower) take(event, id, data string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch event {
	case "line":
		var l logLine
		if json.Unmarshal([]byte(data), &l) != nil || strconv.Itoa(l.N) != id {
			l = logLine{Text: "id " + id + " has " + data}
		}
		f.lines = append(f.lines, l)
	case "end":
		f.ends = append(f.ends, data)
	}
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.lines)
}

// log got NAME N waits until a reader has got so many lines, and no more.
func logGot(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	n, err := c.number(1)
	if err != nil {
		return err
	}
	f := s.followers[c.args[0]]
	if !s.until(func() bool { return f.count() >= n }) || f.count() > n {
		return fmt.Errorf("%d lines have come", f.count())
	}
	return nil
}

// log came NAME N waits until a reader has got at least so many lines.
func logCame(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	n, err := c.number(1)
	if err != nil {
		return err
	}
	f := s.followers[c.args[0]]
	if !s.until(func() bool { return f.count() >= n }) {
		return fmt.Errorf("%d lines have come", f.count())
	}
	return nil
}

// log check compares the whole log with what a runner of the simulator writes as "big":
// requests that are numbered one by one.
func logCheck(s *story, c *scriptLine) error {
	text, err := s.ofLog(c, "/raw")
	if err != nil {
		return err
	}
	next := 1
	for line := range bytes.Lines(text) {
		digits, ok := bytes.CutPrefix(line, []byte("#"))
		if !ok {
			if bytes.Contains(line, []byte(" of 1000000 requests replayed")) || bytes.HasPrefix(line, []byte("replay: worker")) || bytes.Contains(line, []byte("/api/orders/48213")) {
				next++
			}
			continue
		}
		n, err := strconv.Atoi(string(digits[:7]))
		if err != nil || n != next {
			return fmt.Errorf("%q where request %d should be", line, next)
		}
		next++
	}
	if next != 1_000_001 {
		return fmt.Errorf("%d requests", next-1)
	}
	return nil
}

// log ended NAME waits until the server has said that the log is complete and hung up.
func logEnded(s *story, c *scriptLine) error {
	f := s.followers[c.args[0]]
	if !s.until(func() bool {
		select {
		case <-f.over:
			return true
		default:
			return false
		}
	}) {
		return fmt.Errorf("the stream goes on, after %d lines", f.count())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ends) != 1 {
		return fmt.Errorf("ends that were told: %q", f.ends)
	}
	c.out(f.ends[0])
	return nil
}

// log seen NAME prints the lines that a reader has got.
func logSeen(s *story, c *scriptLine) error {
	f := s.followers[c.args[0]]
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, l := range f.lines {
		fmt.Fprintln(&b, l)
	}
	c.out(b.String())
	return nil
}

// log leave NAME closes the page.
func logLeave(s *story, c *scriptLine) error {
	f := s.followers[c.args[0]]
	f.leave()
	<-f.over
	return nil
}

// gitlab record JOB KIND lets a running job write a log of that kind.
func gitlabRecord(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	j, err := s.job(c, c.args[0])
	if err != nil {
		return err
	}
	return s.lab.Record(j.ID, c.args[1])
}

// controls puts what scripts cannot have into logs.
var controls = strings.NewReplacer(`\r`, "\r", `\e`, "\x1b")

// gitlab write JOB TEXT lets a running job write; \n, \r and \e are what they are elsewhere.
func gitlabWrite(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	j, err := s.job(c, c.args[0])
	if err != nil {
		return err
	}
	return s.lab.AppendTrace(j.ID, strings.ReplaceAll(controls.Replace(c.args[1]), `\n`, "\n"))
}

// gitlab traces JOB AT-LEAST AT-MOST checks how often the log of a job was asked for.
func gitlabTraces(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	j, err := s.job(c, c.args[0])
	if err != nil {
		return err
	}
	least, err := c.number(1)
	if err != nil {
		return err
	}
	most, err := c.number(2)
	if err != nil {
		return err
	}
	if got := s.lab.TraceRequests(j.ID); got < least || got > most {
		return fmt.Errorf("it was asked for %d times", got)
	}
	return nil
}
