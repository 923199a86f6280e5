package storage

import (
	"cmp"

	"kovra.dev/chatops/internal/kovra"
)

// SubscriptionQuery selects subscriptions; zero fields select all.
type SubscriptionQuery struct {
	App     string
	Channel string
	Project int64
}

const subscriptionColumns = "s.id, s.app, s.channel, s.floor, s.paused, s.created_by, s.created_at, s.doc"

func scanSubscription(s scanner) (kovra.Subscription, error) {
	var v kovra.Subscription
	var at int64
	var doc string
	if err := s.Scan(&v.ID, &v.App, &v.Channel, &v.Floor, &v.Paused, &v.CreatedBy, &at, &doc); err != nil {
		return v, err
	}
	v.CreatedAt = unstamp(at)
	return v, decode(doc, &v.Filter)
}

// Subscriptions returns what the query selects, by app, channel and age.
func (tx *Tx) Subscriptions(q SubscriptionQuery) ([]kovra.Subscription, error) {
	query, args := "SELECT "+subscriptionColumns+" FROM subscriptions s JOIN apps a ON a.name = s.app WHERE 1 = 1", []any{}
	if q.App != "" {
		query, args = query+" AND s.app = ?", append(args, q.App)
	}
	if q.Channel != "" {
		query, args = query+" AND s.channel = ?", append(args, q.Channel)
	}
	if q.Project != 0 {
		query, args = query+" AND a.project = ? AND a.project <> 0", append(args, q.Project)
	}
	return list(tx, scanSubscription, query+" ORDER BY s.app, s.channel, s.id", args...)
}

// Subscription returns one by id.
func (tx *Tx) Subscription(id int64) (kovra.Subscription, error) {
	s, err := scanSubscription(tx.row("SELECT "+subscriptionColumns+" FROM subscriptions s WHERE s.id = ?", id))
	return s, found(err, "There is no subscription #%d any more.", id)
}

// SaveSubscription changes the subscription of that id; without one, it changes that of the app's channel which
// selects the same things, or makes a new one. Two that select the same are refused with Conflict.
func (tx *Tx) SaveSubscription(s kovra.Subscription) error {
	s.Filter = s.Filter.Normal()
	key := s.Filter.Key()
	doc, err := encode(s.Filter)
	if err != nil {
		return err
	}
	if s.ID, err = tx.placeOf(s); err != nil {
		return err
	}
	if s.ID == 0 {
		_, err = tx.exec(`INSERT INTO subscriptions (app, channel, filter, floor, paused, created_by, created_at, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			s.App, s.Channel, key, s.Floor, s.Paused, s.CreatedBy, stamp(s.CreatedAt), doc)
	} else {
		_, err = tx.exec("UPDATE subscriptions SET filter = ?, floor = ?, paused = ?, doc = ? WHERE id = ?", key, s.Floor, s.Paused, doc, s.ID)
	}
	if err == nil && s.ID == 0 { // who is in the channel sees another app
		err = tx.bumpAllHomes()
	}
	if err != nil || s.Paused != "" {
		return err
	}
	return tx.ResumeSubscriptions(s.Channel)
}

// CheckSubscription returns the Conflict with which [Tx.SaveSubscription] would refuse.
func (tx *Tx) CheckSubscription(s kovra.Subscription) error {
	_, err := tx.placeOf(s)
	return err
}

// placeOf returns the id under which a subscription is to be saved; 0: as a new one.
func (tx *Tx) placeOf(s kovra.Subscription) (int64, error) {
	same, err := tx.int("SELECT id FROM subscriptions WHERE app = ? AND channel = ? AND filter = ?", s.App, s.Channel, s.Filter.Key())
	if err == nil && s.ID != 0 && same != 0 && same != s.ID {
		err = kovra.Errorf(kovra.Conflict, "This channel has another subscription of %s that selects the same.", s.App)
	}
	return cmp.Or(s.ID, same), err
}

// DeleteSubscriptions takes away a channel's subscription of that id, or with 0 all of the app in the channel, and
// returns how many that were.
func (tx *Tx) DeleteSubscriptions(app, channel string, id int64) (int64, error) {
	res, err := tx.exec("DELETE FROM subscriptions WHERE app = ?1 AND channel = ?2 AND (?3 = 0 OR id = ?3)", app, channel, id)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 {
		return 0, err
	}
	return n, tx.bumpAllHomes()
}

// TopicsOf returns what any channel wants to hear of a project.
func (tx *Tx) TopicsOf(project int64) (map[kovra.Topic]bool, error) {
	subs, err := tx.Subscriptions(SubscriptionQuery{Project: project})
	if err != nil {
		return nil, err
	}
	topics := map[kovra.Topic]bool{}
	for _, s := range subs {
		for _, t := range kovra.Topics() {
			topics[t] = topics[t] || s.Filter.Has(t)
		}
	}
	return topics, nil
}

// PauseSubscriptions notes for every subscription of a channel why nothing can be posted there.
func (tx *Tx) PauseSubscriptions(channel, reason string) error {
	_, err := tx.exec("UPDATE subscriptions SET paused = ? WHERE channel = ?", reason, channel)
	return err
}

// ResumeSubscriptions takes back [Tx.PauseSubscriptions]: the channel can be written
// to again. Its broken threads are shown anew.
func (tx *Tx) ResumeSubscriptions(channel string) error {
	if _, err := tx.exec("UPDATE subscriptions SET paused = '' WHERE channel = ? AND paused <> ''", channel); err != nil {
		return err
	}
	return tx.mendThreads(channel)
}
