package storagetest

import (
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// deliver journals n hooks with keys k1, k2, …
func (w *world) deliver(n int) {
	w.t.Helper()
	for i := range n {
		d := kovra.Delivery{Key: fmt.Sprintf("k%d", i+1), Kind: "Pipeline Hook", Body: fmt.Appendf(nil, `{"n":%d}`, i+1), At: w.now()}
		if !put(w, func(tx *storage.Tx) (bool, error) { return tx.AddDelivery(d) }) {
			w.t.Fatalf("delivery %s was there already", d.Key)
		}
	}
}

func (w *world) pending(limit int) []kovra.Delivery {
	w.t.Helper()
	return get(w, func(tx *storage.Tx) ([]kovra.Delivery, error) { return tx.PendingDeliveries(limit) })
}

func keys(ds []kovra.Delivery) (out []string) {
	for _, d := range ds {
		out = append(out, d.Key)
	}
	return out
}

func testDeliveries(w *world) {
	w.deliver(3)
	w.same("told", [][]kovra.Ref{{deliveryRef}, {deliveryRef}, {deliveryRef}}, w.notices())
	again := put(w, func(tx *storage.Tx) (bool, error) {
		return tx.AddDelivery(kovra.Delivery{Key: "k2", Kind: "Job Hook", Body: []byte("other"), At: w.now()})
	})
	if again {
		w.t.Error("a second delivery with the same key was added")
	}
	w.same("told of nothing", [][]kovra.Ref(nil), w.notices())
	w.same("in order of arrival", []string{"k1", "k2", "k3"}, keys(w.pending(10)))
	w.same("a few", []string{"k1", "k2"}, keys(w.pending(2)))

	first := w.pending(1)[0]
	w.pass(time.Minute)
	w.update(func(tx *storage.Tx) error {
		return tx.SettleDelivery(first.ID, kovra.DeliveryDead, "no project in it", group)
	})
	w.same("left", []string{"k2", "k3"}, keys(w.pending(10)))
	got := get(w, func(tx *storage.Tx) (kovra.Delivery, error) { return tx.Delivery(first.ID) })
	w.same("settled", kovra.Delivery{
		ID: first.ID, Key: "k1", Kind: "Pipeline Hook", Body: []byte(`{"n":1}`), At: morning,
		Outcome: kovra.DeliveryDead, Note: "no project in it", Project: group, Settled: w.now(),
	}, got)
}

func testDeliveryPages(w *world) {
	w.deliver(6)
	for _, d := range w.pending(6) {
		outcome := kovra.DeliveryFolded
		if d.ID%2 == 0 {
			outcome = kovra.DeliveryDead
		}
		if d.Key != "k6" {
			w.update(func(tx *storage.Tx) error { return tx.SettleDelivery(d.ID, outcome, "", group) })
		}
	}
	dead, pending := kovra.DeliveryDead, kovra.DeliveryPending
	page := func(q storage.DeliveryQuery) []kovra.Delivery {
		return get(w, func(tx *storage.Tx) ([]kovra.Delivery, error) { return tx.Deliveries(q) })
	}
	all := page(storage.DeliveryQuery{Limit: 10})
	w.same("newest first", []string{"k6", "k5", "k4", "k3", "k2", "k1"}, keys(all))
	for _, d := range all {
		if len(d.Body) > 0 {
			w.t.Errorf("the list has the body of %s", d.Key)
		}
	}
	w.same("first page", []string{"k6", "k5"}, keys(page(storage.DeliveryQuery{Limit: 2})))
	w.same("next page", []string{"k4", "k3"}, keys(page(storage.DeliveryQuery{Before: all[1].ID, Limit: 2})))
	w.same("dead", []string{"k4", "k2"}, keys(page(storage.DeliveryQuery{Outcome: &dead, Limit: 10})))
	w.same("older dead", []string{"k2"}, keys(page(storage.DeliveryQuery{Outcome: &dead, Before: all[2].ID, Limit: 10})))
	w.same("pending", []string{"k6"}, keys(page(storage.DeliveryQuery{Outcome: &pending, Limit: 10})))
}

func testReplayDelivery(w *world) {
	w.deliver(2)
	first := w.pending(1)[0]
	w.update(func(tx *storage.Tx) error { return tx.SettleDelivery(first.ID, kovra.DeliveryDead, "broken JSON", 0) })
	w.notices()
	w.update(func(tx *storage.Tx) error { return tx.ReplayDelivery(first.ID) })
	w.same("told", [][]kovra.Ref{{deliveryRef}}, w.notices())
	w.same("as it came", first, w.pending(1)[0])
}

func testPruneDeliveries(w *world) {
	w.deliver(2)
	w.pass(time.Hour)
	d := kovra.Delivery{Key: "young", Kind: "Job Hook", Body: []byte("{}"), At: w.now()}
	put(w, func(tx *storage.Tx) (bool, error) { return tx.AddDelivery(d) })
	for _, d := range w.pending(9) {
		if d.Key != "k2" {
			w.update(func(tx *storage.Tx) error { return tx.SettleDelivery(d.ID, kovra.DeliverySame, "", group) })
		}
	}
	prune := func() int64 {
		return put(w, func(tx *storage.Tx) (int64, error) { return tx.PruneDeliveries(w.now()) })
	}
	if first, again := prune(), prune(); first != 1 || again != 0 {
		w.t.Errorf("pruned %d, then %d; want 1, then 0", first, again)
	}
	left := get(w, func(tx *storage.Tx) ([]kovra.Delivery, error) { return tx.Deliveries(storage.DeliveryQuery{Limit: 9}) })
	w.same("the young and the pending stay", []string{"young", "k2"}, keys(left))
}
