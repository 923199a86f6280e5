package storagetest

import (
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// testOperators: what is asked for at the command line has an order, and the end of one wakes those that may wait for it.
func testOperators(w *world) {
	ci, err := kovra.Operator("ci")
	if err != nil {
		w.t.Fatal(err)
	}
	ask := func(kind kovra.ActionKind, app string, by kovra.Person) kovra.Action {
		return w.propose(kovra.Action{Kind: kind, App: app, By: by}, nil)
	}
	ofSlack := ask(kovra.ActLink, "web", kovra.Person{ID: "UALICE"})
	link := ask(kovra.ActLink, "web", ci)
	other := ask(kovra.ActLink, "api", ci)
	subscribe := ask(kovra.ActSubscribe, "web", ci)
	remove := ask(kovra.ActDeleteApp, "old", ci)
	w.same("who", ci, w.action(link.ID).By)
	open := get(w, (*storage.Tx).OperatorActions)
	w.same("open", []int64{link.ID, other.ID, subscribe.ID, remove.ID}, []int64{open[0].ID, open[1].ID, open[2].ID, open[3].ID})

	turn := func(what string, a kovra.Action, alone, want bool) {
		w.t.Helper()
		w.same(what, want, get(w, func(tx *storage.Tx) (bool, error) { return tx.OperatorTurn(a, alone) }))
	}
	turn("the first of an app, beside somebody in Slack", link, false, true)
	turn("another app", other, false, true)
	turn("the second of an app", subscribe, false, false)
	turn("alone, with others before", remove, true, false)

	w.notices()
	w.finish(ofSlack.ID, kovra.ActionDone, kovra.Outcome{})
	w.same("an end in Slack wakes nobody", [][]kovra.Ref{{actionRef(ofSlack.ID), answerRef(ofSlack.ID)}}, w.notices())
	w.update(func(tx *storage.Tx) error { return tx.TryAction(link.ID, kovra.Params{}) })
	turn("while it is tried", subscribe, false, false)
	w.notices()
	w.finish(link.ID, kovra.ActionFailed, kovra.Outcome{})
	w.same("woken: the next of the app, the oldest of all",
		[][]kovra.Ref{{actionRef(link.ID), actionRef(other.ID), actionRef(subscribe.ID), answerRef(link.ID)}}, w.notices())
	turn("the second, now", subscribe, false, true)
	w.finish(other.ID, kovra.ActionDone, kovra.Outcome{})
	turn("alone, with one before", remove, true, false)
	w.notices()
	w.finish(subscribe.ID, kovra.ActionDone, kovra.Outcome{})
	w.same("woken: the oldest", [][]kovra.Ref{{actionRef(subscribe.ID), actionRef(remove.ID), answerRef(subscribe.ID)}}, w.notices())
	turn("alone, at last", remove, true, true)
}
