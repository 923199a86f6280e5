package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Forms, and the fields in them. A field's block and action have the same name.
const (
	formRun     = "run"
	formConnect = "connect"

	fieldRef       = "ref"
	fieldVariables = "variables"
	fieldInputs    = "inputs"
	fieldProject   = "project"
)

// noChoice is the value of an option that says something and cannot be chosen.
const noChoice = "-"

// formPlace is what a form remembers of where it was opened.
type formPlace struct {
	App     string `json:"app"`
	Channel string `json:"channel,omitempty"`
	Thread  string `json:"thread,omitempty"`
	Reply   string `json:"reply,omitempty"` // response_url of the click: the answer goes there
	// Since is when the settings that the form shows were changed, in nanoseconds; 0: never.
	Since int64 `json:"since,omitempty"`
	// Subscription is the one that the form shows; 0: it makes a new one.
	Subscription int64 `json:"subscription,omitempty"`
	Home         bool  `json:"home,omitempty"` // in App Home: the answer comes there
}

func (a asker) form(app string) string { return a.formSince(app, time.Time{}) }

// formSince is form for settings that were last changed at that time.
func (a asker) formSince(app string, changed time.Time) string {
	at := formPlace{App: app, Channel: a.channel, Thread: a.thread, Reply: a.reply, Home: a.home}
	if !changed.IsZero() {
		at.Since = changed.UnixNano()
	}
	return at.encode()
}

func (at formPlace) encode() string {
	raw, err := json.Marshal(at)
	if err != nil || len(raw) > maxMetadata {
		raw = []byte(`{}`) // unreachable: these are short strings
	}
	return string(raw)
}

// place reads what form has written.
func (a asker) place(metadata string) (at formPlace, ok bool) {
	err := json.Unmarshal([]byte(metadata), &at)
	return at, err == nil && (at.Home && at.App == "" || kovra.CheckAppName(at.App) == nil)
}

// formOf reads where a form was opened, and makes the asker answer there.
func (p *payload) formOf() (asker, string, error) {
	ask := p.asker()
	at, ok := ask.place(p.View.PrivateMetadata)
	if !ok || at.App == "" {
		return ask, "", kovra.Errorf(kovra.Invalid, saysOldModal)
	}
	ask.channel, ask.thread, ask.reply, ask.home = at.Channel, at.Thread, at.Reply, at.Home
	return ask, at.App, nil
}

// clickRun opens the form that starts a pipeline. It can be filled in without GitLab.
func (h *Handler) clickRun(ctx context.Context, ask asker, value string) (Answer, error) {
	at, app, err := h.clickedApp(ctx, ask, value)
	if err != nil {
		return Answer{}, err
	}
	var p kovra.Project
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		_, p, err = linkedApp(tx, app)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return Answer{}, h.open(ctx, ask, runForm(ask.form(app.Name), app.Name, cmp.Or(at.Ref, p.DefaultBranch)))
}

// clickConnect opens the form that links an app, for those who may link.
func (h *Handler) clickConnect(ctx context.Context, ask asker, app string) (Answer, error) {
	if err := kovra.CheckAppName(app); err != nil {
		return Answer{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
	}
	if err := h.may(ctx, ask, kovra.MayLink, app); err != nil {
		return Answer{}, err
	}
	which := saysWhichProject
	if ask.channel == "" {
		which = saysProjectAtHome
	}
	return Answer{}, h.open(ctx, ask, connectForm(ask.form(app), app, which))
}

// open opens a modal, in place of the one that was clicked in. A trigger that was too
// slow is no fault of the person.
func (h *Handler) open(ctx context.Context, ask asker, v slack.ModalViewRequest) (err error) {
	if ask.view != "" {
		err = h.Slack.UpdateView(ctx, ask.view, "", v)
	} else {
		_, err = h.Slack.OpenView(ctx, ask.trigger, v)
	}
	if err != nil {
		h.Log.WarnContext(ctx, "form not opened", "form", v.CallbackID, "user", ask.person.ID, "err", err)
		return &kovra.Error{Kind: kovra.Unavailable, Public: saysSlow, Err: fmt.Errorf("open form: %w", err)}
	}
	return nil
}

func runForm(metadata, app, ref string) slack.ModalViewRequest {
	return form(formRun, "Run Pipeline", "Run", metadata,
		section("*"+prose(app, maxName)+"*"),
		field(fieldRef, "Branch or tag", "", refField(ref)),
		optional(field(fieldVariables, "Variables", saysVariables, lines(fieldVariables, "ENV=staging"))),
		optional(field(fieldInputs, "Inputs", saysInputs, lines(fieldInputs, "region=eu"))),
	)
}

// refField searches branches and tags; it begins with ref, unless that is too long for it.
func refField(ref string) *slack.SelectBlockElement {
	refs := typeAhead(fieldRef, "Branch or tag")
	if ref != "" && utf8.RuneCountInString(ref) <= maxOptionValue {
		refs.InitialOption = option(ref, ref)
	}
	return refs
}

func connectForm(metadata, app, which string) slack.ModalViewRequest {
	return form(formConnect, "Connect GitLab project", "Connect", metadata,
		section(fmt.Sprintf(which, prose(app, maxName))),
		field(fieldProject, "GitLab project", "", typeAhead(fieldProject, "Search by name or path")),
	)
}

func form(name, title, submit, metadata string, blocks ...slack.Block) slack.ModalViewRequest {
	return slack.ModalViewRequest{
		Type: slack.VTModal, CallbackID: name, Title: plainText(title), Submit: plainText(submit), Close: plainText("Close"),
		PrivateMetadata: metadata, Blocks: slack.Blocks{BlockSet: blocks},
	}
}

func field(name, label, hint string, e slack.BlockElement) *slack.InputBlock {
	b := slack.NewInputBlock(name, plainText(label), nil, e)
	if hint != "" {
		b.Hint = plainText(hint)
	}
	return b
}

func optional(b *slack.InputBlock) *slack.InputBlock {
	b.Optional = true
	return b
}

func lines(name, example string) *slack.PlainTextInputBlockElement {
	e := slack.NewPlainTextInputBlockElement(plainText(example), name)
	e.Multiline = true
	return e
}

// typeAhead asks us for its options from the first character on, and before it.
func typeAhead(name, placeholder string) *slack.SelectBlockElement {
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeExternal, plainText(placeholder), name)
	e.MinQueryLength = new(int)
	return e
}

func option(value, text string) *slack.OptionBlockObject {
	return slack.NewOptionBlockObject(value, plainText(clip(cmp.Or(clean(text), "–"), maxOptionText)), nil)
}

// resultView shows an answer in a modal that remembers where it was opened.
func resultView(a Answer, metadata string) slack.ModalViewRequest {
	blocks := a.Blocks
	if len(blocks) == 0 {
		blocks = []slack.Block{section(clipEscaped(a.Text, maxSection))}
	}
	return slack.ModalViewRequest{
		Type: slack.VTModal, Title: plainText("Kovra"), Close: plainText("Close"),
		PrivateMetadata: metadata, Blocks: slack.Blocks{BlockSet: blocks},
	}
}
