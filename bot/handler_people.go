package bot

import (
	"context"
	"strings"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Explainer says why somebody may do something, or may not.
type Explainer interface {
	// Explain returns the steps of the decision as sentences; the last one says how it ends.
	Explain(ctx context.Context, p kovra.Person, need kovra.Permission, app string) ([]string, error)
}

// connectURL is where the person signs in at GitLab; "" where nobody can.
func (h *Handler) connectURL(ctx context.Context, p kovra.Person) string {
	if h.ConnectURL == nil {
		return ""
	}
	address, err := h.ConnectURL(ctx, p)
	if err != nil {
		h.Log.ErrorContext(ctx, "no address to connect at", "user", p.ID, "err", err)
	}
	return address
}

// prompt asks the person of an action to connect. The answer to the action itself comes later; what was asked in App Home
// is told there.
func (h *Handler) prompt(ctx context.Context, ask asker, a kovra.Action) (Answer, error) {
	var d Deed
	err := h.DB.Update(ctx, func(tx *storage.Tx) (err error) {
		if _, err = tx.ClaimPrompt(a.ID); err != nil {
			return err
		}
		if ask.home { // it tells the end, too
			if _, err = tx.ClaimAnswer(a.ID); err != nil {
				return err
			}
		}
		d, err = readDeed(tx, a, h.Hook)
		return err
	})
	d.Connect = h.connectURL(ctx, a.By)
	return RenderAction(d), err
}

// connect and disconnect are about the person's own account.
func (h *Handler) account(ctx context.Context, r request) (Answer, error) {
	kind := kovra.ActConnect
	if r.command.Verb == VerbDisconnect {
		kind = kovra.ActDisconnect
	}
	return h.do(ctx, r.asker, kovra.Action{Kind: kind}, nil)
}

// notify chooses of which own pipelines the person is told.
func (h *Handler) notify(ctx context.Context, r request) (Answer, error) {
	n := kovra.Notify(r.command.Words[len(r.command.Words)-1])
	return h.do(ctx, r.asker, kovra.Action{Kind: kovra.ActNotify, Params: kovra.Params{Notify: n}}, nil)
}

// why says whether the person may do something, and which rule decides.
func (h *Handler) why(ctx context.Context, r request) (Answer, error) {
	need, ok := permissionOf(r.command.Words[0])
	if !ok {
		names := sortedWhyWords()
		if near, found := nearest(r.command.Words[0], names); found {
			return Answer{}, kovra.Errorf(kovra.Invalid, saysNearWhy, r.command.Words[0], near)
		}
		return Answer{}, kovra.Errorf(kovra.Invalid, saysUnknownWhy, r.command.Words[0], strings.Join(names, ", "))
	}
	if h.Explain == nil {
		return notice(escape(saysNoWhy)), nil
	}
	lines, err := h.Explain.Explain(ctx, r.person, need, r.target.App)
	if err != nil {
		return Answer{}, err
	}
	return RenderWhy(r.command.Words[0], r.target.App, lines), nil
}

// clickWatch has the person told how a pipeline ends.
func (h *Handler) clickWatch(ctx context.Context, ask asker, value string) (Answer, error) {
	v, app, err := h.clickedRun(ctx, ask, value)
	if err != nil {
		return Answer{}, err
	}
	return h.do(ctx, ask, kovra.Action{Kind: kovra.ActWatch, App: app, Run: v.Run}, nil)
}

// clickWatchBuild does the same for a build.
func (h *Handler) clickWatchBuild(ctx context.Context, ask asker, value string) (Answer, error) {
	v, err := ParseBuildValue(value)
	if err != nil {
		return Answer{}, err
	}
	var b kovra.Build
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		b, err = tx.Build(v.Build)
		return err
	})
	if kovra.KindOf(err) == kovra.NotFound {
		return Answer{}, kovra.Errorf(kovra.NotFound, saysNothingThere)
	}
	if err == nil {
		err = h.mayRead(ctx, ask, b.App)
	}
	if err != nil {
		return Answer{}, err
	}
	return h.do(ctx, ask, kovra.Action{Kind: kovra.ActWatch, App: b.App, Build: b.ID}, nil)
}
