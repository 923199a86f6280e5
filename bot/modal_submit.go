package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// modalAnswer is what Slack does with a form that was submitted; its zero value closes it.
type modalAnswer struct {
	Action string                  `json:"response_action"`
	Errors map[string]string       `json:"errors,omitempty"` // by field
	View   *slack.ModalViewRequest `json:"view,omitempty"`
}

func (m modalAnswer) encode() ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode answer to a form: %w", err)
	}
	return body, nil
}

func fieldError(field, text string) modalAnswer {
	return modalAnswer{Action: "errors", Errors: map[string]string{field: clip(clean(text), maxFieldError)}}
}

func showInModal(ask asker, a Answer) modalAnswer {
	v := resultView(a, ask.metadata)
	return modalAnswer{Action: "update", View: &v}
}

// submit takes a form. What is wrong in a field is said below it; the form stays open
// then, and can be sent again.
func (h *Handler) submit(ctx context.Context, p payload) ([]byte, error) {
	ask, app, err := p.formOf()
	if err != nil {
		return showInModal(ask, h.sorry(ctx, ask, err)).encode()
	}
	want, secret, main, wrong, err := h.readForm(ctx, &p, ask, app)
	var m modalAnswer
	switch {
	case err != nil:
	case len(wrong) > 0:
		m = modalAnswer{Action: "errors", Errors: wrong}
	default:
		want.Lock = p.formLock()
		m, err = h.carryOut(ctx, ask, want, secret, main)
	}
	if err = h.told(ctx, ask, err); kovra.KindOf(err) == kovra.Unavailable {
		m = fieldError(main, kovra.PublicText(err)) // what was typed must not be lost
	} else if err != nil {
		m = showInModal(ask, h.sorry(ctx, ask, err))
	}
	return m.encode()
}

// readForm makes an action of what was filled in. main is the field below which is said what
// is about none.
func (h *Handler) readForm(ctx context.Context, p *payload, ask asker, app string) (want kovra.Action, secret []byte, main string, wrong map[string]string, err error) {
	main = fieldRef
	switch p.View.CallbackID {
	case formRun:
		if want, secret, wrong, err = readRunForm(p, app); err == nil && len(wrong) == 0 {
			_, err = h.readableApp(ctx, ask, app)
		}
	case formConnect:
		main = fieldProject
		want, wrong = readConnectForm(p, app)
	case formSubscribe:
		main = fieldTopics
		at, _ := ask.place(p.View.PrivateMetadata)
		want, wrong = readSubscribeForm(p, app, at.Subscription)
	case formTrigger:
		if want, wrong = readTriggerForm(p, app); len(wrong) == 0 {
			_, err = h.readableApp(ctx, ask, app)
		}
	case formSettings:
		main = string(kovra.FieldEnabled)
		var found kovra.App
		if found, err = h.readableApp(ctx, ask, app); err == nil {
			at, _ := ask.place(p.View.PrivateMetadata)
			want, wrong, err = h.readSettingsForm(ctx, p, found, at.Since)
		}
	default:
		err = kovra.Errorf(kovra.Invalid, saysOldModal)
	}
	return want, secret, main, wrong, err
}

// formLock makes a form be carried out once as it was shown; "": it cannot be told apart.
func (p *payload) formLock() string {
	if p.View.ID == "" {
		return ""
	}
	return "view/" + p.View.ID + "/" + p.View.Hash
}

// carryOut proposes what a form asks for. If it fails at once the form says so; else the
// form closes, and the answer comes where it was opened.
func (h *Handler) carryOut(ctx context.Context, ask asker, want kovra.Action, secret []byte, main string) (modalAnswer, error) {
	a, mine, err := h.propose(ctx, ask, want, secret)
	if err != nil {
		return modalAnswer{}, err
	}
	if mine {
		a = h.await(ctx, a)
	}
	if mine && a.State == kovra.ActionFailed {
		reason := cmp.Or(a.Outcome.Reason, failedWords(a.Kind, a.Outcome.Kind))
		err := h.DB.Update(ctx, func(tx *storage.Tx) error {
			_, err := tx.ClaimAnswer(a.ID)
			return err
		})
		return fieldError(main, reason), err
	}
	if ask.home {
		return modalAnswer{Action: "clear"}, h.leaveToHome(ctx, a, mine)
	}
	answer, err := h.report(ctx, ask, a, mine)
	if err != nil {
		return modalAnswer{}, err
	}
	elsewhere := ask
	elsewhere.view = ""
	if err := h.tell(ctx, elsewhere, answer, false); err != nil {
		h.Log.InfoContext(ctx, "answer shown in the form instead", "action", a.ID, "err", err)
		return showInModal(ask, answer), nil
	}
	return modalAnswer{Action: "clear"}, nil
}

func readRunForm(p *payload, app string) (want kovra.Action, secret []byte, wrong map[string]string, err error) {
	wrong = map[string]string{}
	read := func(field string, inputs bool) []Var {
		vars, err := ParseVars(p.field(field), inputs)
		if err != nil {
			wrong[field] = clip(clean(kovra.PublicText(err)), maxFieldError)
		}
		return vars
	}
	ref := p.field(fieldRef)
	if ref == "" {
		wrong[fieldRef] = saysPickRef
	}
	vars, inputs := read(fieldVariables, false), read(fieldInputs, true)
	want, secret, err = runWish(app, ref, vars, inputs)
	return want, secret, wrong, err
}

func readConnectForm(p *payload, app string) (kovra.Action, map[string]string) {
	project := p.field(fieldProject)
	if project == "" || project == noChoice {
		return kovra.Action{}, map[string]string{fieldProject: saysPickProject}
	}
	return kovra.Action{Kind: kovra.ActLink, App: app, Params: kovra.Params{Project: project}}, nil
}
