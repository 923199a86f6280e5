package storage

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"kovra.dev/chatops/internal/kovra"
)

const accountColumns = "slack, gitlab, username, name, notify, notify_since, expires, connected_at"

func scanAccount(s scanner) (kovra.Account, error) {
	var a kovra.Account
	var since, expires, connected int64
	err := s.Scan(&a.Slack, &a.GitLab.ID, &a.GitLab.Username, &a.GitLab.Name, &a.Notify, &since, &expires, &connected)
	a.NotifySince, a.Expires, a.ConnectedAt = unstamp(since), unstamp(expires), unstamp(connected)
	return a, err
}

// Account returns what is known of a person; of somebody unknown nothing but the Slack id.
func (tx *Tx) Account(slackUser string) (kovra.Account, error) {
	a, err := scanAccount(tx.row("SELECT "+accountColumns+" FROM people WHERE slack = ?", slackUser))
	if errors.Is(err, sql.ErrNoRows) {
		return kovra.Account{Slack: slackUser, Notify: kovra.NotifyOff}, nil
	}
	return a, err
}

// AccountOf returns the person who has connected a GitLab user; false: nobody has.
func (tx *Tx) AccountOf(gitlabUser int64) (kovra.Account, bool, error) {
	a, err := scanAccount(tx.row("SELECT "+accountColumns+" FROM people WHERE gitlab = ? AND gitlab <> 0", gitlabUser))
	if errors.Is(err, sql.ErrNoRows) {
		return a, false, nil
	}
	return a, err == nil, err
}

// Accounts returns the people who are connected, by Slack id.
func (tx *Tx) Accounts() ([]kovra.Account, error) {
	return list(tx, scanAccount, "SELECT "+accountColumns+" FROM people WHERE gitlab <> 0 ORDER BY slack")
}

func tokenUse(slackUser string) string { return "token/" + slackUser }

// Connect records that a person is a GitLab user, with the tokens to act as them. Whoever had connected that GitLab
// user before is disconnected. The person's actions that waited for it are wanted again: of those whose
// place somebody else took meanwhile, that is their end.
func (tx *Tx) Connect(slackUser string, who kovra.GitLabUser, pair kovra.TokenPair) error {
	for _, q := range []string{
		"UPDATE people SET gitlab = 0, username = '', name = '', tokens = NULL, expires = 0, connected_at = 0 WHERE gitlab = ? AND slack <> ?",
		"DELETE FROM matches WHERE gitlab <> ? AND slack = ? AND how = 'connected'", // another account of theirs, before
	} {
		if _, err := tx.exec(q, who.ID, slackUser); err != nil {
			return err
		}
	}
	_, err := tx.exec(`INSERT INTO people (slack, gitlab, username, name, connected_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (slack) DO UPDATE SET gitlab = excluded.gitlab, username = excluded.username, name = excluded.name, connected_at = excluded.connected_at`,
		slackUser, who.ID, who.Username, who.Name, stamp(tx.now))
	if err != nil {
		return err
	}
	if err := tx.SetTokens(slackUser, pair); err != nil {
		return err
	}
	if err := tx.SaveMatch(kovra.Match{GitLab: who.ID, Slack: slackUser, How: "connected", CheckedAt: tx.now}); err != nil {
		return err
	}
	return errors.Join(tx.bumpHomeOfPerson(slackUser), tx.resumeActions(slackUser))
}

// SetTokens replaces the tokens of somebody who is connected, in one step. They are sealed.
func (tx *Tx) SetTokens(slackUser string, pair kovra.TokenPair) error {
	plain, err := json.Marshal(pair)
	if err != nil {
		return fmt.Errorf("encode tokens: %w", err)
	}
	sealed, err := tx.db.sealer.Load().seal(tokenUse(slackUser), plain)
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE people SET tokens = ?, expires = ? WHERE slack = ? AND gitlab <> 0", sealed, stamp(pair.Expires), slackUser)
	return err
}

// Tokens returns the tokens of a person; false: they are not connected, or what is kept was sealed with
// a key that is not configured any more.
func (tx *Tx) Tokens(slackUser string) (kovra.TokenPair, bool, error) {
	var sealed []byte
	var pair kovra.TokenPair
	err := tx.row("SELECT tokens FROM people WHERE slack = ? AND gitlab <> 0", slackUser).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) || err == nil && len(sealed) == 0 {
		return pair, false, nil
	}
	if err != nil {
		return pair, false, err
	}
	plain, err := tx.db.sealer.Load().open(tokenUse(slackUser), sealed)
	if err != nil {
		return pair, false, nil //nolint:nilerr // tokens of a lost key are as good as none
	}
	return pair, true, json.Unmarshal(plain, &pair)
}

// Disconnect forgets a person's GitLab account and its tokens. It reports whether there was one.
func (tx *Tx) Disconnect(slackUser string) (bool, error) {
	if _, err := tx.exec("DELETE FROM matches WHERE slack = ? AND how = 'connected'", slackUser); err != nil {
		return false, err
	}
	res, err := tx.exec("UPDATE people SET gitlab = 0, username = '', name = '', tokens = NULL, expires = 0, connected_at = 0 WHERE slack = ? AND gitlab <> 0", slackUser)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.bumpHomeOfPerson(slackUser)
}

// SealAgain seals every token with the first key that is still sealed with another one, and returns how many
// those were.
func (tx *Tx) SealAgain() (int, error) {
	people, err := tx.Accounts()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, a := range people {
		var sealed []byte
		if err := tx.row("SELECT tokens FROM people WHERE slack = ?", a.Slack).Scan(&sealed); err != nil {
			return n, err
		}
		if len(sealed) == 0 || tx.db.sealer.Load().isFirst(sealed) {
			continue
		}
		pair, known, err := tx.Tokens(a.Slack)
		if err != nil {
			return n, err
		}
		if !known {
			continue
		}
		if err := tx.SetTokens(a.Slack, pair); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// SetNotify records of which own pipelines a person is told.
func (tx *Tx) SetNotify(slackUser string, n kovra.Notify) error {
	_, err := tx.exec(`INSERT INTO people (slack, notify, notify_since) VALUES (?, ?, ?)
		ON CONFLICT (slack) DO UPDATE SET notify = excluded.notify, notify_since = excluded.notify_since`, slackUser, string(n), stamp(tx.now))
	return err
}

// Match returns which Slack user a GitLab user is; false: nobody has looked yet.
func (tx *Tx) Match(gitlabUser int64) (kovra.Match, bool, error) {
	m := kovra.Match{GitLab: gitlabUser}
	var at int64
	err := tx.row("SELECT slack, how, checked_at FROM matches WHERE gitlab = ?", gitlabUser).Scan(&m.Slack, &m.How, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return m, false, nil
	}
	m.CheckedAt = unstamp(at)
	return m, err == nil, err
}

// SaveMatch records which Slack user a GitLab user is, or that nobody is known.
func (tx *Tx) SaveMatch(m kovra.Match) error {
	_, err := tx.exec(`INSERT INTO matches (gitlab, slack, how, checked_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (gitlab) DO UPDATE SET slack = excluded.slack, how = excluded.how, checked_at = excluded.checked_at`,
		m.GitLab, m.Slack, m.How, stamp(m.CheckedAt))
	return err
}

// Matched records with a run who started it in Slack, as far as is known now, and shows it anew to those who see it, and to
// that person. Once recorded it stays.
func (tx *Tx) Matched(run int64) error {
	r, err := tx.Run(run)
	if err != nil || r.Child() || r.StarterKnown {
		return err
	}
	m, _, err := tx.Match(r.By.ID)
	if err != nil {
		return err
	}
	r.Starter, r.StarterKnown = m.Slack, true
	if err := tx.makeThreads(r); err != nil {
		return err
	}
	return tx.bump(r)
}
