package storage

import (
	"database/sql"
	"errors"
	"slices"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// noticeRest is for how long after its end a trouble that comes back goes on in the same message.
const noticeRest = time.Hour

// SawHook records how the webhook of a project is. The administrators are told of what changed.
func (tx *Tx) SawHook(project int64, s kovra.HookSight) error {
	p, err := tx.Project(project)
	if err != nil {
		return err
	}
	was := p.Seen
	s.Since = was.Since
	if was.Is() != s.Is() || s.Since.IsZero() {
		s.Since = tx.now
	}
	p.Seen = s
	if err := tx.SaveProject(p); err != nil || was.Same(s) || !was.Is().Trouble() && !s.Is().Trouble() {
		return err // of what is well there is no notice, and all projects would be read for it
	}
	return tx.reviewHooks()
}

// Hooks returns the webhooks of all linked projects by path, with their apps by name.
func (tx *Tx) Hooks() ([]kovra.ProjectHook, error) {
	projects, err := tx.LinkedProjects()
	if err != nil {
		return nil, err
	}
	apps, err := tx.Apps()
	if err != nil {
		return nil, err
	}
	of := map[int64][]string{}
	for _, a := range apps {
		of[a.Project] = append(of[a.Project], a.Name)
	}
	hooks := make([]kovra.ProjectHook, 0, len(projects))
	for _, p := range projects {
		hooks = append(hooks, kovra.ProjectHook{Project: p, Apps: of[p.ID]})
	}
	slices.SortStableFunc(hooks, func(a, b kovra.ProjectHook) int {
		switch {
		case a.Project.Path < b.Project.Path:
			return -1
		case a.Project.Path > b.Project.Path:
			return 1
		}
		return 0
	})
	return hooks, nil
}

// HookHealth counts the linked projects by the health of their webhook, a [kovra.HookHealth]. Every health is in it.
func (tx *Tx) HookHealth() (map[string]int, error) {
	projects, err := tx.LinkedProjects()
	counts := map[string]int{}
	for _, h := range kovra.HookHealths() {
		counts[string(h)] = 0
	}
	for _, p := range projects {
		counts[string(p.Seen.Is())]++
	}
	return counts, err
}

// reviewHooks has the notice about webhooks say what is so now: it is opened with the first trouble, and closed after the
// last.
func (tx *Tx) reviewHooks() error {
	counts, err := tx.HookHealth()
	if err != nil {
		return err
	}
	trouble := 0
	for h, n := range counts {
		if kovra.HookHealth(h).Trouble() {
			trouble += n
		}
	}
	n, err := tx.lastNotice(kovra.NoticeHooks)
	if err != nil {
		return err
	}
	switch open := n.ID != 0 && n.Open(); {
	case trouble > 0 && !open && n.ID != 0 && tx.now.Sub(n.ClosedAt) < noticeRest:
		return tx.setNoticeClosed(n.ID, time.Time{})
	case trouble > 0 && !open:
		return tx.openNotice(kovra.Notice{Kind: kovra.NoticeHooks, Key: tx.now.UTC().Format(time.RFC3339Nano)})
	case trouble == 0 && open:
		return tx.setNoticeClosed(n.ID, tx.now)
	case open:
		return tx.bumpNotice(n.ID)
	}
	return nil
}

const gitlabToken = "gitlab"

// GitLabToken returns what GitLab last said of the bot's own token; a zero one if it was never asked.
func (tx *Tx) GitLabToken() (kovra.TokenSight, error) {
	var t kovra.TokenSight
	var doc string
	err := tx.row("SELECT doc FROM token_sights WHERE name = ?", gitlabToken).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	return t, decode(doc, &t)
}

// TokenEnds is when the bot's own GitLab token ends; zero: never, or it is not known.
func (tx *Tx) TokenEnds() (time.Time, error) {
	t, err := tx.GitLabToken()
	return t.Expires, err
}

// SawGitLabToken records what GitLab said of the bot's own token. Of one that is refused, what was known before stays
// known. The administrators are told when it is refused, and [kovra.TokenDays] before it ends, each once.
func (tx *Tx) SawGitLabToken(t kovra.TokenSight) error {
	was, err := tx.GitLabToken()
	if err != nil {
		return err
	}
	if t.Refused != "" {
		t.ID, t.Name, t.Expires = was.ID, was.Name, was.Expires
	}
	doc, err := encode(t)
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO token_sights (name, doc) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET doc = excluded.doc", gitlabToken, doc)
	if err != nil {
		return err
	}
	return errors.Join(tx.reviewRefusal(t), tx.reviewExpiry(t))
}

// reviewRefusal opens and closes the notice that the token is refused.
func (tx *Tx) reviewRefusal(t kovra.TokenSight) error {
	n, err := tx.lastNotice(kovra.NoticeRefused)
	if err != nil {
		return err
	}
	switch open := n.ID != 0 && n.Open(); {
	case t.Refused != "" && !open:
		return tx.openNotice(kovra.Notice{Kind: kovra.NoticeRefused, Key: tx.now.UTC().Format(time.RFC3339Nano), Token: t})
	case t.Refused == "" && open:
		return tx.setNoticeClosed(n.ID, tx.now)
	}
	return nil
}

// reviewExpiry opens the announcement that is due, and closes those about another token or another day.
func (tx *Tx) reviewExpiry(t kovra.TokenSight) error {
	open, err := list(tx, scanNotice, "SELECT "+noticeColumns+" FROM notices WHERE kind = ? AND closed_at = 0 ORDER BY id", string(kovra.NoticeExpiry))
	if err != nil || t.Refused != "" {
		return err
	}
	for _, n := range open {
		if n.Token.ID == t.ID && n.Token.Expires.Equal(t.Expires) {
			continue
		}
		if err := tx.setNoticeClosed(n.ID, tx.now); err != nil {
			return err
		}
	}
	due, is := t.Due(tx.now)
	if !is {
		return nil
	}
	left, _ := t.Left(tx.now)
	key := expiryKey(t, due)
	known, err := tx.int("SELECT count(*) FROM notices WHERE kind = ? AND key = ?", string(kovra.NoticeExpiry), key)
	if err != nil || known > 0 {
		return err
	}
	return tx.openNotice(kovra.Notice{Kind: kovra.NoticeExpiry, Key: key, Token: t, Days: left})
}
