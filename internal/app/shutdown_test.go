package app

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// pipes is a listener in memory, which lives in the time of a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// ask sends a request and returns the answer.
func (p *pipes) ask(ctx context.Context, path string) (string, error) {
	client, server := net.Pipe()
	defer func() { _ = client.Close() }()
	select {
	case p.conns <- server:
	case <-p.closed:
		return "", net.ErrClosed
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://kovra.sim"+path, http.NoBody)
	if err != nil {
		return "", err
	}
	r.Close = true
	if err := r.Write(client); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(client), r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// stopped is how the program ended, and what came of the request that was in flight.
type stopped struct {
	took   time.Duration
	ended  error
	answer string
	asked  error
}

// stopping runs the program with a handler and stops it a second after a request has begun.
func stopping(t *testing.T, handler func(a *App, w http.ResponseWriter, r *http.Request)) stopped {
	t.Helper()
	var s stopped
	a := built(t, newOutside().options())
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(a, w, r) })
	ln := newPipes()
	ctx, stop := context.WithCancel(t.Context())
	end, answered := make(chan error, 1), make(chan struct{})
	go func() { end <- a.Run(ctx, ln) }()
	go func() {
		s.answer, s.asked = ln.ask(context.WithoutCancel(ctx), "/slow")
		close(answered)
	}()
	<-time.After(time.Second)
	synctest.Wait()
	stop()
	begun := time.Now()
	synctest.Wait()
	if _, err := ln.ask(t.Context(), "/slow"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a new request while it stops: %v", err)
	}
	s.ended = <-end
	s.took = time.Since(begun)
	<-answered
	if err := a.db.Ping(t.Context()); err == nil {
		t.Error("the database is open after the end")
	}
	return s
}

// A request in flight ends, what it says is committed, and only then the database is closed.
func TestStopWaitsForRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stopping(t, func(a *App, w http.ResponseWriter, r *http.Request) {
			<-time.After(6 * time.Second)
			err := a.db.Update(r.Context(), func(tx *storage.Tx) error { return tx.SaveApp(kovra.App{Name: "web"}) })
			if err != nil {
				t.Errorf("a request in flight cannot commit: %v", err)
			}
			_, _ = io.WriteString(w, "saved")
		})
		if s.ended != nil || s.asked != nil || s.answer != "saved" {
			t.Errorf("ended %v, asked %v, answer %q", s.ended, s.asked, s.answer)
		}
		if s.took < 4*time.Second || s.took > drainTimeout {
			t.Errorf("it took %s to stop", s.took)
		}
	})
}

// A request that does not end holds up nobody for ever.
func TestStopDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stopping(t, func(_ *App, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		if s.ended != nil {
			t.Errorf("ended: %v", s.ended)
		}
		if s.asked == nil {
			t.Error("the request was answered")
		}
		if s.took < drainTimeout || s.took > drainTimeout+time.Second {
			t.Errorf("it took %s to stop", s.took)
		}
	})
}

// A listener that breaks ends the program, with the reason.
func TestBrokenListenerEndsTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := built(t, newOutside().options())
		ln := newPipes()
		_ = ln.Close()
		if err := a.Run(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ended: %v", err)
		}
	})
}

// What the last requests ask for is begun while they still wait: the loops stop after the server.
func TestLoopsOutliveRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stopping(t, func(a *App, w http.ResponseWriter, r *http.Request) {
			<-time.After(3 * time.Second) // the end has begun
			var act kovra.Action
			err := a.db.Update(r.Context(), func(tx *storage.Tx) (err error) {
				act, _, err = tx.Propose(kovra.Action{Kind: kovra.ActCreateApp, App: "web", By: kovra.Person{ID: "USTRANGER"}}, nil)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			<-time.After(time.Second)
			err = a.db.Read(r.Context(), func(tx *storage.Tx) (err error) {
				act, err = tx.Action(act.ID)
				return err
			})
			_, _ = io.WriteString(w, string(act.State))
			if err != nil {
				t.Error(err)
			}
		})
		if s.ended != nil || s.answer != string(kovra.ActionFailed) {
			t.Errorf("ended %v, the stranger's wish is %q", s.ended, s.answer)
		}
	})
}
