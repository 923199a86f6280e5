package storage

import (
	"context"
	"fmt"
	"iter"
	"sync"
)

// LogHits are matching lines of a part of the log, in order.
type LogHits struct {
	Numbers []int // of lines that match; empty where only progress is told
	Scanned int   // lines up to this one have been looked at
}

const (
	searchers  = 2 // goroutines of one search
	partChunks = 4 // chunks of one part, but of the first, which is to come soon
)

// Search yields the numbers of the lines that match, part by part, first lines first. An error of kind
// Invalid says what is wrong with the query. Lines that are added meanwhile are left out.
func (l *Logs) Search(ctx context.Context, id int64, q LogQuery) iter.Seq2[LogHits, error] {
	return func(yield func(LogHits, error) bool) {
		m, err := NewMatcher(q)
		if err != nil {
			yield(LogHits{}, err)
			return
		}
		log, err := l.Log(ctx, id)
		if err != nil {
			yield(LogHits{}, err)
			return
		}
		from := max(q.From, 1)
		if from > log.Lines {
			yield(LogHits{Scanned: log.Lines}, nil)
			return
		}
		s := &search{logs: l, id: id, m: m, from: from, next: from, end: log.Lines, parts: make(chan *part, searchers)}
		s.run(ctx, yield)
	}
}

// search is one that runs: the searchers take part after part in order, work side by side, and
// the consumer gets the parts in the order in which they were taken.
type search struct {
	logs      *Logs
	id        int64
	m         *Matcher
	from, end int // the first and the last line to look at
	parts     chan *part

	mu    sync.Mutex // held while a part is taken
	next  int
	taken int  // parts
	ended bool // parts is closed
}

type part struct {
	chunks []packed
	hits   LogHits
	err    error
	done   chan struct{}
}

func (s *search) run(ctx context.Context, yield func(LogHits, error) bool) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for range searchers {
		all.Go(func() { s.work(ctx) })
	}
	for {
		var p *part
		select {
		case p = <-s.parts:
		case <-ctx.Done():
			yield(LogHits{}, ctx.Err())
			return
		}
		if p == nil {
			return
		}
		<-p.done
		if p.err != nil {
			yield(LogHits{}, p.err)
			return
		}
		if !yield(p.hits, nil) {
			return
		}
	}
}

func (s *search) work(ctx context.Context) {
	var mem scratch
	for p := s.take(ctx); p != nil; p = s.take(ctx) {
		if p.err == nil {
			p.err = s.look(ctx, p, &mem)
		}
		close(p.done)
	}
}

// take fetches the next part; nil when there is none, or nobody listens any more.
func (s *search) take(ctx context.Context) *part {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || ctx.Err() != nil {
		return nil
	}
	if s.next > s.end {
		close(s.parts)
		s.ended = true
		return nil
	}
	n := partChunks
	if s.taken == 0 {
		n = 1
	}
	s.taken++
	p := &part{done: make(chan struct{})}
	p.chunks, p.err = s.logs.fetch(ctx, s.id, s.next, s.end, n)
	if p.err != nil {
		s.next = s.end + 1
	} else {
		last := p.chunks[len(p.chunks)-1]
		s.next = last.first + last.lines
	}
	select {
	case s.parts <- p:
		return p
	case <-ctx.Done():
		return nil
	}
}

// look scans the chunks of a part.
func (s *search) look(ctx context.Context, p *part, mem *scratch) error {
	for i := range p.chunks {
		c := &p.chunks[i]
		var err error
		if mem.text, err = s.logs.pack.unpackText(c, mem.text); err != nil {
			return fmt.Errorf("search line %d of log %d: %w", c.first, s.id, err)
		}
		known := len(p.hits.Numbers)
		if p.hits.Numbers, err = s.m.scan(ctx, mem.text, mem, p.hits.Numbers); err != nil {
			return err
		}
		p.hits.Numbers = within(p.hits.Numbers, known, c.first, s.from, s.end)
		p.hits.Scanned = min(c.first+c.lines-1, s.end)
		c.text = nil // the consumer may be slow
	}
	return nil
}

// within makes line numbers of the places from known on, and drops those outside of from and to.
func within(places []int, known, first, from, to int) []int {
	out := places[:known]
	for _, i := range places[known:] {
		if n := first + i; n >= from && n <= to {
			out = append(out, n)
		}
	}
	return out
}
