package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
	"kovra.dev/chatops/storage"
)

// Channels that hear of something else than everything.
const (
	relays = "CRELAYS"
	fails  = "CFAILS"
)

// ledger is what the program logged, in all its lives.
type ledger struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *ledger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *ledger) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// people fills the world with what is beside pipelines: channels that select, accounts, an application.
func (w *world) people() {
	w.slack.AddUser(slacksim.User{ID: alice, Name: "alice", IsAdmin: true, Email: "alice@example.com"})
	w.slack.AddUser(slacksim.User{ID: bob, Name: "bob", Email: "bob@example.com"})
	w.slack.AddChannel(slacksim.Channel{ID: relays, Name: "relays", Members: []string{alice, bob}})
	w.slack.AddChannel(slacksim.Channel{ID: fails, Name: "fails", Members: []string{alice, bob}})
	w.lab.AddUser(gitlabsim.User{ID: 5, Username: "alice", Name: "Alice", Email: "alice@example.com", PublicEmail: "alice@example.com"})
	w.lab.AddUser(gitlabsim.User{ID: 6, Username: "bob", Name: "Bob", Email: "bob@example.com", PublicEmail: "bob@example.com"})
	w.lab.AddApplication(gitlabsim.Application{
		ClientID: oauthID, Secret: oauthSecret, RedirectURIs: []string{publicURL + "/oauth/gitlab/callback"}, Scopes: []string{"api", "read_api"}, RequirePKCE: true,
	})
}

// say types a command as somebody, in a life that is not to be killed.
func (w *world) say(who, channel, line string) {
	w.t.Helper()
	seen, err := w.slack.Slash(w.t.Context(), who, channel, line)
	if err != nil || seen.Error != "" {
		w.t.Fatalf("%s: %v %s", line, err, seen.Text())
	}
}

// join signs somebody in at GitLab, as a browser does, by the link that they were given last.
func (w *world) join(who, login string) {
	_, _ = w.slack.Slash(w.t.Context(), who, deploys, "/kovra connect")
	link := ""
	for _, m := range w.slack.Ephemerals(who) {
		for _, l := range slacksim.Links(m) {
			if strings.Contains(l, "/oauth/gitlab/start") {
				link = l
			}
		}
	}
	jar, err := cookiejar.New(nil)
	if link == "" || err != nil {
		return // they are connected, or the program is dead
	}
	browser := &http.Client{
		Jar: jar, Transport: slacksim.HandlerTransport(http.HandlerFunc(w.front)),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	to := w.visit(browser, link)
	if to == "" {
		return
	}
	back, err := w.lab.Authorize(w.t.Context(), to, login)
	if err == nil {
		w.visit(browser, back)
	}
}

// visit opens a page and says where it leads to; "" where it leads nowhere, or nobody answers.
func (w *world) visit(browser *http.Client, address string) string {
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		return ""
	}
	resp, err := browser.Do(r)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var to *url.URL
	if to, err = resp.Location(); err != nil {
		return ""
	}
	return to.String()
}

// review does something with a merge request.
func (w *world) review() {
	iid := int64(1 + w.rnd.IntN(3))
	w.what.add("merge request", 1)
	m := w.lab.MergeRequest(web, iid)
	switch n := w.rnd.IntN(6); {
	case m.IID == 0:
		w.lab.OpenMergeRequest(web, gitlabsim.MergeRequest{IID: iid, SourceBranch: "feature", Title: fmt.Sprintf("Change %d <!here>", iid), Draft: n == 0}, "bob")
	case m.State == "merged":
	case m.State == "closed":
		w.lab.ReopenMergeRequest(web, iid, "bob")
	case m.Draft:
		w.lab.SetDraft(web, iid, false, "bob")
	case n == 0:
		w.lab.CloseMergeRequest(web, iid, "bob")
	case n == 1:
		w.lab.UnapproveMergeRequest(web, iid, "alice")
	case n == 2:
		w.lab.MergeMergeRequest(web, iid, "alice")
	default:
		w.lab.ApproveMergeRequest(web, iid, "alice")
	}
}

// comment asks for something in a merge request.
func (w *world) comment() {
	iid := int64(1 + w.rnd.IntN(3))
	if w.lab.MergeRequest(web, iid).IID == 0 {
		return
	}
	w.what.add("comment", 1)
	w.lab.Comment(web, iid, []string{"alice", "bob"}[w.rnd.IntN(2)], []string{"/kovra retry", "/kovra cancel", "/kovra dance"}[w.rnd.IntN(3)])
}

// publish deploys, or makes a tag and its release.
func (w *world) publish() {
	w.what.add("deployment", 1)
	switch w.rnd.IntN(3) {
	case 0:
		d := w.lab.CreateDeployment(web, gitlabsim.Deployment{Environment: "production"}, "alice")
		w.deployed = append(w.deployed, d.ID)
	case 1:
		if n := len(w.deployed); n > 0 {
			w.lab.SetDeployment(web, w.deployed[w.rnd.IntN(n)], []string{"blocked", "running", "success", "failed"}[w.rnd.IntN(4)])
		}
	default:
		w.tags++
		tag := fmt.Sprintf("v%d", w.tags)
		w.lab.CreateTag(web, tag, "main", "alice")
		w.lab.CreateRelease(web, gitlabsim.Release{Tag: tag, Name: "Release *" + tag + "*"})
	}
}

// mention speaks to the bot in a thread; Slack sends some events twice.
func (w *world) mention() {
	var parents []slacksim.Message
	for _, m := range w.slack.Messages(deploys) {
		if m.User == slacksim.BotUserID && (m.ThreadTS == "" || m.ThreadTS == m.TS) {
			parents = append(parents, m)
		}
	}
	if len(parents) == 0 {
		return
	}
	w.what.add("mention", 1)
	at := parents[w.rnd.IntN(len(parents))]
	_ = w.slack.Mention(w.t.Context(), bob, deploys, at.TS, []string{"retry", "cancel", "jobs", "watch", "rettry"}[w.rnd.IntN(5)])
	if w.rnd.IntN(2) == 0 {
		w.what.add("event twice", 1)
		_ = w.slack.EventAgain(w.t.Context(), 1, "http_timeout")
	}
}

// lookAtHome opens App Home, and presses what is there.
func (w *world) lookAtHome() {
	w.what.add("home", 1)
	_ = w.slack.OpenHome(w.t.Context(), bob)
	w.settle(time.Duration(w.rnd.IntN(5)) * time.Second)
	v, ok := w.slack.HomeView(bob)
	if !ok {
		return
	}
	for _, b := range []string{"Retry", "Cancel", "Builds", "Pipelines", "All apps"} {
		if w.rnd.IntN(3) == 0 && slices.Contains(slacksim.Buttons(v.Tree), b) {
			_, _ = w.slack.Click(w.t.Context(), bob, v.Ref(), b)
			return
		}
	}
	_, _ = w.slack.Choose(w.t.Context(), bob, v.Ref(), "home_app", "web")
}

// watchOne has bob told how a pipeline ends.
func (w *world) watchOne() {
	for _, m := range slices.Backward(w.slack.Messages(deploys)) {
		if slices.Contains(slacksim.Buttons(m.Tree), "Watch") {
			w.what.add("watch", 1)
			_, _ = w.slack.Click(w.t.Context(), bob, m.Ref(), "Watch")
			return
		}
	}
}

// meddleWithTokens lets an account end, and sometimes begin again.
func (w *world) meddleWithTokens() {
	if !w.accounts {
		return
	}
	switch w.rnd.IntN(4) {
	case 0:
		w.what.add("token revoked", 1)
		w.lab.RevokeTokens("bob")
	case 1:
		w.what.add("token expired", 1)
		w.lab.ExpireTokens("bob")
	case 2:
		w.lab.Fault(gitlabsim.LoseReply("POST /oauth/token"))
	default:
		w.join(bob, "bob")
	}
}

// spot is the channel of Slack in which a thread is.
func (w *world) spot(t kovra.Thread) string {
	user, alone := t.Person()
	if !alone {
		return t.Channel
	}
	for _, c := range w.slack.Snapshot(user).Channels {
		if c.Direct {
			return c.ID
		}
	}
	return t.Channel
}

// otherThreads compares the threads of subjects, and those that one person alone sees, with their state.
func (w *world) otherThreads(tx *storage.Tx, shown map[string]string, out *[]string) error {
	gaps := 0
	for id := int64(1); gaps < 50; id++ {
		v, err := tx.View(id)
		if kovra.KindOf(err) == kovra.NotFound {
			gaps++
			continue
		}
		if err != nil {
			return err
		}
		gaps = 0
		_, alone := v.Thread.Person()
		if v.Subject != nil {
			w.what.add("relay", 1)
		}
		if alone {
			w.what.add("told alone", 1)
		}
		if v.Subject != nil || v.Build != nil || alone || v.Thread.Channel == fails {
			w.viewProblems(v, shown, out)
		}
	}
	return nil
}

// peopleProblems checks what is beside the threads.
func (w *world) peopleProblems(out *[]string) {
	for iid := int64(1); iid <= 3; iid++ {
		asked, answered := map[string]int{}, map[string]int{}
		for _, n := range w.lab.Notes(web, iid) {
			if strings.HasPrefix(n.Body, "/kovra") {
				asked[n.DiscussionID]++
			} else {
				answered[n.DiscussionID]++
			}
		}
		for d, n := range answered {
			if n > 1 || asked[d] == 0 {
				*out = append(*out, fmt.Sprintf("%d answers to %d comments in !%d", n, asked[d], iid))
			}
		}
	}
	said := ""
	for _, c := range w.slack.Calls() {
		said += fmt.Sprint(c.Form)
	}
	for _, who := range []string{"alice", "bob"} {
		for _, t := range w.lab.OAuthTokens(who) {
			for _, secret := range []string{t.Access, t.Refresh, oauthSecret} {
				if strings.Contains(w.ledger.text.String(), secret) || strings.Contains(said, secret) {
					*out = append(*out, "a token of "+who+" was logged, or told")
				}
			}
		}
	}
}

// homeProblems opens App Home when all is quiet: it must show the newest pipeline as it is.
func (w *world) homeProblems(ctx context.Context, out *[]string) {
	all := w.lab.Pipelines(web)
	if len(all) == 0 {
		return
	}
	_ = w.slack.OpenHome(ctx, bob)
	w.settle(10 * time.Second)
	for _, step := range []string{"home_app", ""} {
		v, ok := w.slack.HomeView(bob)
		if !ok {
			*out = append(*out, "bob has no Home")
			return
		}
		if step != "" {
			_, _ = w.slack.Choose(ctx, bob, v.Ref(), step, "web")
		} else {
			_, _ = w.slack.Click(ctx, bob, v.Ref(), "Pipelines")
		}
		w.settle(10 * time.Second)
	}
	newest := int64(0)
	for _, p := range all {
		if p.Source != "parent_pipeline" {
			newest = max(newest, p.ID)
		}
	}
	v, _ := w.slack.HomeView(bob)
	if text := slacksim.ViewText(v); !strings.Contains(text, fmt.Sprintf("#%d", newest)) {
		*out = append(*out, fmt.Sprintf("Home does not show pipeline %d:\n%s", newest, text))
	}
}
