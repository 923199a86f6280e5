package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// demo is a running demo, seen over HTTP only.
type demo struct {
	t   *testing.T
	url string
}

// start runs the demo as main does and waits for its address. It is stopped, and must
// have ended well, when the test is over.
func start(t *testing.T, args ...string) demo {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var errs bytes.Buffer
	var g errgroup.Group
	g.Go(func() error {
		defer in.Close()
		return run(ctx, append([]string{"-listen", "127.0.0.1:0", "-quiet"}, args...), in, &errs)
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("no address: %v, %v, %s", err, g.Wait(), errs.String())
	}
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("the demo ended badly: %v", err)
		}
		if errs.Len() > 0 {
			t.Errorf("printed with -quiet: %s", errs.String())
		}
	})
	return demo{t, strings.TrimSpace(line)}
}

// do makes a request and gives its status and body.
func (d demo) do(method, path string, body any, header ...string) (int, []byte, http.Header) {
	d.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, bytes.NewReader(raw))
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, got, resp.Header
}

// act does something and gives what a person sees at once.
func (d demo) act(path string, body map[string]any) shown {
	d.t.Helper()
	status, raw, _ := d.do("POST", path, body)
	var s shown
	if err := json.Unmarshal(raw, &s); err != nil {
		d.t.Fatalf("%s %v: %v in %s", path, body, err, raw)
	}
	if status != http.StatusOK {
		d.t.Fatalf("%s %v: status %d: %s", path, body, status, raw)
	}
	return s
}

// picture is one message of a snapshot.
type picture struct {
	Channel, TS, User, Text string
	Blocks                  json.RawMessage
	Edits                   int
	Broadcast               bool
	Thread                  []picture
}

// says is all that stands in the message.
func (p picture) says() string { return p.Text + string(p.Blocks) }

type snap struct {
	Channels []struct {
		ID, Name string
		Messages []picture
	}
	Ephemerals []picture
}

func (d demo) see(user string) snap {
	d.t.Helper()
	_, raw, _ := d.do("GET", "api/slack?user="+user, nil)
	var s snap
	if err := json.Unmarshal(raw, &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// cards are the messages of a channel that are no replies.
func (s snap) cards(channel string) []picture {
	for _, c := range s.Channels {
		if c.ID == channel {
			return c.Messages
		}
	}
	return nil
}

func (d demo) lab() labState {
	d.t.Helper()
	_, raw, _ := d.do("GET", "api/gitlab", nil)
	var s labState
	if err := json.Unmarshal(raw, &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// job finds a job of the newest pipeline of a project.
func (d demo) job(project int, name string) labJob {
	d.t.Helper()
	if list := d.lab().Projects[project].Pipelines; len(list) > 0 {
		for _, s := range list[0].Stages {
			for _, j := range s.Jobs {
				if j.Name == name {
					return j
				}
			}
		}
	}
	d.t.Fatalf("no job %s", name)
	return labJob{}
}

// until waits for something to become true.
func (d demo) until(what string, cond func() bool) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Minute)
	defer cancel()
	for !cond() {
		if !pause(ctx, 50*time.Millisecond) {
			d.t.Fatalf("it never happened: %s; alice sees %+v", what, d.see(alice))
		}
	}
}

// link lets Alice link web in #deploys and waits for the webhook.
func (d demo) link() {
	d.t.Helper()
	if s := d.act("api/say", map[string]any{"user": alice, "channel": deploys, "text": "/kovra link web group/web"}); s.Error != "" {
		d.t.Fatalf("link: %s", s.Error)
	}
	d.until("the webhook is there", func() bool { return d.lab().Projects[0].Hooks == 1 })
}

// breaks pushes a commit whose test fails, job by job, and waits for the excerpt.
func (d demo) breaks() picture {
	d.t.Helper()
	web := d.lab().Projects[0].ID
	d.act("api/gitlab/push", map[string]any{"project": web, "branch": "main", "title": "Apply vouchers", "author": "bob"})
	d.act("api/gitlab/job", map[string]any{"job": d.job(0, "compile").ID, "do": "pass"})
	d.act("api/gitlab/job", map[string]any{"job": d.job(0, "unit").ID, "do": "start"})
	d.act("api/gitlab/job", map[string]any{"job": d.job(0, "unit").ID, "do": "fail", "kind": "go-test"})
	for _, name := range []string{"lint", "e2e"} {
		d.act("api/gitlab/job", map[string]any{"job": d.job(0, name).ID, "do": "pass"})
	}
	var card picture
	d.until("the failing line is in the thread", func() bool {
		for _, m := range d.see(bob).cards(deploys) {
			for _, r := range m.Thread {
				if strings.Contains(r.says(), "cart_test.go:88: Total() = 1998, want 1798") && strings.Contains(m.says(), `"retry"`) {
					card = m
					return true
				}
			}
		}
		return false
	})
	return card
}

// block finds the block that holds an action.
func block(t *testing.T, m picture, action string) string {
	t.Helper()
	var blocks []struct {
		BlockID  string `json:"block_id"`
		Elements []struct {
			ActionID string `json:"action_id"`
		}
	}
	if err := json.Unmarshal(m.Blocks, &blocks); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		for _, e := range b.Elements {
			if e.ActionID == action {
				return b.BlockID
			}
		}
	}
	t.Fatalf("no %s in %s", action, m.Blocks)
	return ""
}

// From a command to a webhook to a thread, and back by a button that is old the second time.
func TestLinkPushFailRetry(t *testing.T) {
	d := start(t, "-no-story")
	d.link()
	card := d.breaks()

	click := map[string]any{
		"user": alice, "channel": card.Channel, "ts": card.TS, "edits": card.Edits, "block": block(t, card, "retry"), "action": "retry",
	}
	d.act("api/click", click)
	d.until("the job runs again", func() bool { return d.job(0, "unit").Attempt == 2 })
	d.until("the button is gone", func() bool {
		for _, m := range d.see(bob).cards(deploys) {
			if m.TS == card.TS {
				return !strings.Contains(m.says(), `"retry"`)
			}
		}
		return false
	})
	before := len(d.see(alice).Ephemerals)
	d.act("api/click", click)
	d.until("the old button is answered privately", func() bool { return len(d.see(alice).Ephemerals) > before })
	if got := d.job(0, "unit").Attempt; got != 2 {
		t.Errorf("the old button made attempt %d", got)
	}
	d.act("api/gitlab/job", map[string]any{"job": d.job(0, "unit").ID, "do": "pass"})
	d.act("api/gitlab/job", map[string]any{"job": d.job(0, "staging").ID, "do": "pass"})
	d.until("fixed is told in the channel", func() bool {
		for _, m := range d.see(bob).cards(deploys) {
			if m.Broadcast && strings.Contains(m.says(), "is fixed") {
				return true
			}
		}
		return false
	})
}

// trace is the log of a job as GitLab gives it.
func (d demo) trace(job labJob) string {
	d.t.Helper()
	lab := d.lab()
	url := fmt.Sprintf("%s/api/v4/projects/%d/jobs/%d/trace", lab.URL, lab.Projects[0].ID, job.ID)
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Private-Token", gitlabToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// A running job writes bit by bit, whoever ends it.
func TestLogsGrow(t *testing.T) {
	d := start(t, "-no-story")
	d.act("api/gitlab/log", map[string]any{"do": "long"})
	job := d.job(0, "acceptance")
	d.act("api/gitlab/job", map[string]any{"job": job.ID, "do": "start"})
	var lengths []int
	var seen string
	d.until("the log grows", func() bool {
		now := d.trace(job)
		if !strings.HasPrefix(now, seen) {
			t.Fatalf("what was written changed from\n%s\nto\n%s", seen, now)
		}
		if len(now) > len(seen) {
			lengths = append(lengths, len(now))
		}
		seen = now
		return len(lengths) > 4
	})
	d.act("api/gitlab/job", map[string]any{"job": job.ID, "do": "fail", "kind": "pytest"})
	if got := d.trace(job); !strings.HasPrefix(got, seen) || !strings.Contains(got, "test_refund_of_partial_payment") {
		t.Errorf("it failed as\n%s", got)
	}

	d.act("api/gitlab/log", map[string]any{"do": "hostile"})
	job = d.job(0, "sanitizer")
	d.act("api/gitlab/job", map[string]any{"job": job.ID, "do": "start"})
	d.until("it writes", func() bool { return strings.Contains(d.trace(job), ":step_script") })
	d.act("api/gitlab/job", map[string]any{"job": job.ID, "do": "cancel"})
	d.until("the runner gives it back", func() bool { return d.job(0, "sanitizer").Status == "canceled" })
	d.until("its log says so", func() bool { return strings.Contains(d.trace(job), "ERROR: Job failed: canceled") })

	d.act("api/gitlab/log", map[string]any{"do": "big"})
	job = d.job(0, "replay")
	d.act("api/gitlab/job", map[string]any{"job": job.ID, "do": "fail", "kind": "big"})
	if n := strings.Count(d.trace(job), "\n"); n < 1_000_000 {
		t.Errorf("the big log has %d lines", n)
	}
}

// The story alone leads to a broken pipeline that waits for the visitor.
func TestStory(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes as long as the story")
	}
	d := start(t)
	d.until("the story is over", func() bool { return d.lab().Story.Over })
	var told, green bool
	for _, m := range d.see(alice).cards(deploys) {
		for _, r := range m.Thread {
			told = told || strings.Contains(r.says(), "cart_test.go:88")
		}
		green = green || strings.Contains(m.says(), "*Success*")
	}
	if !told || !green {
		t.Errorf("excerpt %v, a green card %v", told, green)
	}
}

func TestTroubles(t *testing.T) {
	d := start(t, "-no-story")
	d.link()
	web := d.lab().Projects[0].ID
	push := func() {
		d.act("api/gitlab/push", map[string]any{"project": web, "branch": "checkout", "title": "Small", "author": "bob"})
	}
	d.act("api/gitlab/trouble", map[string]any{"do": "hold"})
	push()
	if s := d.lab(); !s.Held || s.Waiting == 0 {
		t.Fatalf("held %v, %d wait", s.Held, s.Waiting)
	}
	d.act("api/gitlab/trouble", map[string]any{"do": "release"})
	d.until("the card is there", func() bool { return len(d.see(bob).cards(deploys)) == 1 })
	d.act("api/gitlab/trouble", map[string]any{"do": "twice"})
	d.act("api/gitlab/pipeline", map[string]any{"project": web, "pipeline": d.lab().Projects[0].Pipelines[0].ID, "do": "finish"})
	d.until("a webhook came twice", func() bool {
		for _, one := range d.lab().Deliveries {
			if one.Again && one.Status == http.StatusOK {
				return true
			}
		}
		return false
	})
	d.until("one card tells of success", func() bool {
		cards := d.see(bob).cards(deploys)
		return len(cards) == 1 && strings.Contains(cards[0].says(), "*Success*")
	})
	for _, do := range []string{"late", "drop", "down", "limit"} {
		d.act("api/gitlab/trouble", map[string]any{"do": do})
	}
	if s := d.lab(); s.Trouble["down"] == 0 || s.Trouble["limit"] == 0 {
		t.Errorf("troubles are %v", s.Trouble)
	}
	if status, _, _ := d.do("POST", "api/gitlab/trouble", map[string]any{"do": "meteor"}); status != http.StatusUnprocessableEntity {
		t.Errorf("an unknown trouble: status %d", status)
	}
}

// What Slack itself answers, before any app hears of it.
func TestTyping(t *testing.T) {
	d := start(t, "-no-story")
	say := func(user, channel, thread, text string) string {
		t.Helper()
		return d.act("api/say", map[string]any{"user": user, "channel": channel, "thread": thread, "text": text}).Error
	}
	for _, c := range []struct{ user, channel, thread, text, want string }{
		{bob, deploys, "", "/weather", "unknown_command"},
		{bob, deploys, "1.000001", "/pipeline", "slash_command_in_thread"},
		{mallory, deploys, "", "hello", "not_in_channel"},
		{mallory, deploys, "", "/invite @kovra", "not_in_channel"},
		{alice, ops, "", "/invite @nobody", "user_not_found"},
		{alice, ops, "", "/invite @kovra", ""},
		{bob, deploys, "", "  ", ""},
		{bob, deploys, "", "@alice see #deploys & http://127.0.0.1/<x>", ""},
		{bob, deploys, "", "/kovra", ""},
	} {
		if got := say(c.user, c.channel, c.thread, c.text); got != c.want {
			t.Errorf("%s types %q: %q, want %q", c.user, c.text, got, c.want)
		}
	}
	d.act("api/join", map[string]any{"user": mallory, "channel": deploys})
	if got := say(mallory, deploys, "", "hello"); got != "" {
		t.Errorf("after joining: %q", got)
	}
	want := "<@U01ALICE> see <#C01DEPLOYS|deploys> &amp; <http://127.0.0.1/>&lt;x&gt;"
	if got := d.see(bob).cards(deploys)[0].Text; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len(d.see(carol).Channels); n != 1 {
		t.Errorf("the guest sees %d channels", n)
	}
}

func TestOnlyOwnPageMayAct(t *testing.T) {
	d := start(t, "-no-story")
	for _, c := range []struct {
		name   string
		header []string
		want   int
	}{
		{"no origin", nil, http.StatusOK},
		{"own origin", []string{"Origin", strings.TrimSuffix(d.url, "/")}, http.StatusOK},
		{"another page", []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		{"another name of this machine", []string{"Host", "evil.example"}, http.StatusForbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := map[string]any{"user": bob, "channel": deploys, "text": "hello"}
			if got, raw, _ := d.do("POST", "api/say", body, c.header...); got != c.want {
				t.Errorf("status %d, want %d: %s", got, c.want, raw)
			}
		})
	}
	status, raw, header := d.do("GET", "", nil)
	if status != http.StatusOK || !bytes.Contains(raw, []byte("app.js")) {
		t.Errorf("page: status %d, %s", status, raw)
	}
	if got := header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; script-src 'self'") {
		t.Errorf("policy is %q", got)
	}
	for _, name := range []string{"app.js", "lib/preact.js", "lib/hooks.js", "lib/htm.js", "styles.css", "icon.svg"} {
		if status, _, _ := d.do("GET", name, nil); status != http.StatusOK {
			t.Errorf("%s: status %d", name, status)
		}
	}
}

func TestBadRequests(t *testing.T) {
	d := start(t, "-no-story")
	for path, c := range map[string]struct {
		body any
		want int
	}{
		"api/say":            {[]string{"no object"}, http.StatusBadRequest},
		"api/click":          {map[string]any{"user": bob, "channel": deploys, "ts": "1.000001", "action": "retry"}, http.StatusConflict},
		"api/close":          {map[string]any{"user": bob, "view": "V1"}, http.StatusConflict},
		"api/submit":         {map[string]any{"user": bob, "view": "V1"}, http.StatusConflict},
		"api/options":        {map[string]any{"user": bob, "view": "V1", "action": "ref"}, http.StatusConflict},
		"api/choose":         {map[string]any{"user": bob, "channel": deploys, "ts": "1.000001"}, http.StatusConflict},
		"api/join":           {map[string]any{"user": bob, "channel": ops}, http.StatusConflict},
		"api/gitlab/push":    {map[string]any{"project": 1, "branch": "two words"}, http.StatusUnprocessableEntity},
		"api/gitlab/job":     {map[string]any{"job": 1, "do": "start"}, http.StatusUnprocessableEntity},
		"api/gitlab/log":     {map[string]any{"do": "poem"}, http.StatusUnprocessableEntity},
		"api/gitlab/resend":  {map[string]any{"index": 7}, http.StatusUnprocessableEntity},
		"api/gitlab/trouble": {map[string]any{}, http.StatusUnprocessableEntity},
		"api/gitlab/event":   {map[string]any{"project": 99, "do": "tag"}, http.StatusUnprocessableEntity},
		"api/home":           {map[string]any{"user": carol}, http.StatusConflict},
		"api/shortcut":       {map[string]any{"user": bob, "channel": deploys, "ts": "1.000001"}, http.StatusConflict},
	} {
		if got, raw, _ := d.do("POST", path, c.body); got != c.want {
			t.Errorf("%s %v: status %d, want %d: %s", path, c.body, got, c.want, raw)
		}
	}
}

// The page learns of changes by itself.
func TestEvents(t *testing.T) {
	d := start(t, "-no-story")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		for lines.Scan() {
			if name, is := strings.CutPrefix(lines.Text(), "event: "); is {
				return name
			}
		}
		return fmt.Sprint("the stream ended: ", lines.Err())
	}
	if a, b := next(), next(); a != "slack" || b != "gitlab" {
		t.Fatalf("at first %q, %q", a, b)
	}
	d.act("api/say", map[string]any{"user": bob, "channel": deploys, "text": "hello"})
	if got := next(); got != "slack" {
		t.Errorf("after a message: %q", got)
	}
	d.act("api/gitlab/push", map[string]any{"project": d.lab().Projects[0].ID, "branch": "main", "title": "x"})
	if got := next(); got != "gitlab" {
		t.Errorf("after a push: %q", got)
	}
}

func TestListenFallsBack(t *testing.T) {
	first, err := listen(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := listen(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if first.Addr().String() == second.Addr().String() {
		t.Errorf("both listen on %s", first.Addr())
	}
	if _, err := listen(t.Context(), first.Addr().String()); err == nil {
		t.Error("an address that is taken was taken again")
	}
}
