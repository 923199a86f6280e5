package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Replies answers in merge requests what people asked for there.
type Replies struct{ *Dispatch }

// Replies returns what answers in merge requests.
func (d *Dispatch) Replies() Replies { return Replies{d} }

// Reply answers an action that was asked for in a merge request; false: it was asked for elsewhere. Class: at most once. The answer
// is claimed in the database, then sent.
func (r Replies) Reply(ctx context.Context, id int64) (bool, error) {
	var act kovra.Action
	err := r.db.Read(ctx, func(tx *storage.Tx) (err error) {
		act, err = tx.Action(id)
		return err
	})
	if err != nil || act.Params.Comment == nil {
		return false, err
	}
	if act.Open() || act.Answered || r.world.Comments == nil {
		return true, nil
	}
	claimed := false
	err = r.db.Update(ctx, func(tx *storage.Tx) (err error) {
		claimed, err = tx.ClaimAnswer(id)
		return err
	})
	if err != nil || !claimed {
		return true, err
	}
	c := act.Params.Comment
	if err := r.world.Comments.ReplyNote(ctx, c.Project, c.MR, c.Discussion, replyText(act)); err != nil {
		r.opts.Log.WarnContext(ctx, "comment not answered", "project", c.Project, "action", id, "err", err)
	}
	return true, nil
}

// genuine asks GitLab whether a comment is what the webhook said. Whoever may change a webhook may have it send any body, in
// anybody's name (GitLab's custom webhook templates), so that body alone must not lend somebody a voice.
func (a Actions) genuine(ctx context.Context, act kovra.Action) error {
	c := act.Params.Comment
	if c == nil || a.world.Comments == nil {
		return nil
	}
	by, text, err := a.world.Comments.Comment(ctx, c.Project, c.MR, c.Note)
	if notShown(err) {
		return kovra.Errorf(kovra.Denied, "GitLab shows no such comment, so nothing is done.")
	}
	if err != nil {
		return fmt.Errorf("read the comment of action %d: %w", act.ID, err)
	}
	said, is := kovra.CommandOf(text)
	if by.ID == 0 || by.ID != act.By.GitLab.ID || !is || said != c.Text {
		return kovra.Errorf(kovra.Denied, "The comment is not, or not any more, what I was told of it, so nothing is done.")
	}
	return nil
}

// guarded keeps a comment from doing with the bot's token what GitLab would refuse its author: who may neither push to a protected
// branch nor merge into it may not run pipelines there either. With an account of one's own GitLab decides.
func (a Actions) guarded(ctx context.Context, act kovra.Action) error {
	c := act.Params.Comment
	if c == nil || a.world.Comments == nil || act.Kind.Permission().Level() == "" {
		return nil
	}
	hand, err := a.hand(ctx, act)
	if err != nil || hand.Own {
		return err
	}
	branches, err := a.branchesOf(ctx, act)
	if err != nil {
		return err
	}
	for _, branch := range branches {
		closed, err := a.world.Comments.Closed(ctx, c.Project, branch)
		if err != nil {
			return fmt.Errorf("read branch of action %d: %w", act.ID, err)
		}
		if !closed {
			continue
		}
		level, err := a.world.Comments.MemberLevel(ctx, c.Project, act.By.GitLab.ID)
		if err != nil {
			return fmt.Errorf("read role of the author of action %d: %w", act.ID, err)
		}
		if level < maintainer {
			return kovra.Errorf(kovra.Denied, "The branch %s is protected, so that needs the role Maintainer in the GitLab project of %s. "+
				"A Maintainer can do it; where people connect their GitLab accounts, their own rights on the branch count.", branch, act.App)
		}
		return nil
	}
	return nil
}

// branchesOf are the branches that an action of a comment is about, once each: that of the merge request, as GitLab tells it, since pipelines of
// merge requests run on a ref of their own and a webhook may say anything; that of the pipeline; and that to build.
func (a Actions) branchesOf(ctx context.Context, act kovra.Action) ([]string, error) {
	c := act.Params.Comment
	source, err := a.world.Comments.Source(ctx, c.Project, c.MR)
	if err != nil {
		return nil, fmt.Errorf("read merge request of action %d: %w", act.ID, err)
	}
	branches := []string{source, act.Params.Ref}
	if act.Run != 0 {
		err = a.db.Read(ctx, func(tx *storage.Tx) error {
			run, err := tx.Run(act.Run)
			if run.Kind() == "branch" {
				branches = append(branches, run.Ref)
			}
			return err
		})
	}
	slices.Sort(branches)
	return slices.DeleteFunc(slices.Compact(branches), func(b string) bool { return b == "" }), err
}

// replyText is the answer in GitLab's Markdown. Only our own words are written as they are.
func replyText(act kovra.Action) string {
	what := map[kovra.ActionKind]string{
		kovra.ActRetry: "the failed and canceled jobs run again", kovra.ActCancel: "the pipeline is being canceled", kovra.ActBuild: "a build is on its way",
	}[act.Kind]
	if act.State == kovra.ActionDone && what != "" {
		text := "Done: " + what
		if act.Outcome.Remote != 0 && act.Outcome.URL != "" {
			text += ", see " + linkTo(fmt.Sprintf("pipeline #%d", act.Outcome.Remote), act.Outcome.URL)
		}
		if act.Outcome.Build != 0 {
			text += fmt.Sprintf(", build `#%d` of %s", act.Outcome.Build, act.App)
		}
		return text + "."
	}
	if act.Kind == kovra.ActHelp && act.State == kovra.ActionDone {
		return act.Outcome.Reason // which is Markdown of ours
	}
	return cmp.Or(quoted(act.Outcome.Reason), "Nothing was done.")
}

// quoted is a sentence in which words of others may stand: names of branches, people, what GitLab said. GitLab would take an @ for a
// mention, a line that begins with / for a command, and it draws links and images; so every word that is not plain
// goes into a span of code, and all of it on one line.
func quoted(s string) string {
	words := strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
	for i, w := range words {
		if !isPlainWord(w) {
			words[i] = codeSpan(w)
		}
	}
	return strings.Join(words, " ")
}

// isPlainWord reports whether Markdown makes nothing of a word: letters and digits, with the signs of a sentence around them.
func isPlainWord(w string) bool {
	inner := strings.TrimRight(strings.TrimLeft(w, `("'`), `.,;:!?)"'`)
	return inner != "" && inner[0] != '-' && !strings.ContainsFunc(inner, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("'’-", r)
	})
}

// codeSpan is a word in which nothing is read; the signs of the sentence that it ends stay outside.
func codeSpan(w string) string {
	inner := strings.TrimRight(w, ".,;?")
	if inner == "" {
		return "`" + w + "`"
	}
	fence := "`"
	for strings.Contains(inner, fence) {
		fence += "`"
	}
	pad := ""
	if strings.HasPrefix(inner, "`") || strings.HasSuffix(inner, "`") {
		pad = " "
	}
	return fence + pad + inner + pad + fence + w[len(inner):]
}

// linkTo is a link in Markdown; an address that could end it is left out.
func linkTo(label, address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(address, " \t\r\n()<>[]\\`\"'") {
		return label
	}
	return "[" + label + "](" + address + ")"
}
