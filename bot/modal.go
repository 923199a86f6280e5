package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Sentences of the handlers and their modals.
const (
	saysNoShortcut   = "This shortcut is not part of this version. All commands: /kovra help"
	saysSlow         = "This takes longer than usual just now. Please try again in a moment."
	saysGateSlow     = "Slack did not say in time whether you may do that. Please try again in a moment."
	saysNothingThere = "There is no such thing here, or you may not see it. Members of a subscribed channel see its apps: /kovra apps"
	saysUnknownHere  = "%s of %s is not known here; it may be older than the link. GitLab shows it."
	saysOtherApp     = "%s belongs to %s, not to %s. Write %s"
	saysOtherProject = "%s is the project of %s, not of %s."
	saysNoAppOf      = "No app that you can see is linked to %s. All apps: /kovra apps"
	saysNoQuestion   = "There is no question to answer here any more. Write the command again."
	saysOldModal     = "This form is too old; nothing was done. Please open it again."
	saysStale        = "This button is of an earlier attempt, so nothing was done."
	saysPickRef      = "Please choose a branch or tag."
	saysPickProject  = "Please choose a project."

	labelDown     = "GitLab does not answer; taken as typed"
	labelNoSearch = "Type the whole path, as in group/web, or try again soon"
	labelBranches = "Branches"
	labelTags     = "Tags"
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

// Slack's limits of options and views.
const (
	maxOptionText  = 75
	maxOptionValue = 150
	maxOptions     = 100
	maxMetadata    = 3000
	maxFieldError  = 500
)

// formPlace is what a form remembers of where it was opened.
type formPlace struct {
	App     string `json:"app"`
	Channel string `json:"channel,omitempty"`
	Thread  string `json:"thread,omitempty"`
	Reply   string `json:"reply,omitempty"` // response_url of the click: the answer goes there
}

func (a asker) form(app string) string {
	p := formPlace{App: app, Channel: a.channel, Thread: a.thread, Reply: a.reply}
	raw, err := json.Marshal(p)
	if err != nil || len(raw) > maxMetadata {
		raw = []byte(`{}`) // unreachable: these are short strings
	}
	return string(raw)
}

// formOf reads where a form was opened, and makes the asker answer there.
func (p *payload) formOf() (asker, string, error) {
	ask := p.asker()
	var at formPlace
	if err := json.Unmarshal([]byte(p.View.PrivateMetadata), &at); err != nil || at.App == "" {
		return ask, "", kovra.Errorf(kovra.Invalid, saysOldModal)
	}
	ask.channel, ask.thread, ask.reply = at.Channel, at.Thread, at.Reply
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
	return Answer{}, h.open(ctx, ask, runForm(ask.form(app.Name), app.Name, or(at.Ref, p.DefaultBranch)))
}

// clickConnect opens the form that links an app, for those who may link.
func (h *Handler) clickConnect(ctx context.Context, ask asker, app string) (Answer, error) {
	if err := kovra.CheckAppName(app); err != nil {
		return Answer{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
	}
	if err := h.may(ctx, ask, kovra.MayAdmin, app); err != nil {
		return Answer{}, err
	}
	return Answer{}, h.open(ctx, ask, connectForm(ask.form(app), app))
}

// open opens a modal. A trigger that was too slow is no fault of the person.
func (h *Handler) open(ctx context.Context, ask asker, v slack.ModalViewRequest) error {
	if _, err := h.Slack.OpenView(ctx, ask.trigger, v); err != nil {
		h.Log.WarnContext(ctx, "form not opened", "form", v.CallbackID, "user", ask.person.ID, "err", err)
		return &kovra.Error{Kind: kovra.Unavailable, Public: saysSlow, Err: fmt.Errorf("open form: %w", err)}
	}
	return nil
}

func runForm(metadata, app, ref string) slack.ModalViewRequest {
	refs := typeAhead(fieldRef, "Branch or tag")
	if ref != "" && utf8.RuneCountInString(ref) <= maxOptionValue {
		refs.InitialOption = option(ref, ref)
	}
	text := slack.NewTextBlockObject(slack.MarkdownType, "*"+prose(app, maxName)+"*", false, true)
	return form(formRun, "Run Pipeline", "Run", metadata,
		slack.NewSectionBlock(text, nil, nil),
		field(fieldRef, "Branch or tag", "", refs),
		optional(field(fieldVariables, "Variables", "One KEY=VALUE a line. Values are kept encrypted until they are used, then wiped.", lines(fieldVariables, "ENV=staging"))),
		optional(field(fieldInputs, "Inputs", "One NAME=VALUE a line, for pipelines that declare inputs.", lines(fieldInputs, "region=eu"))),
	)
}

func connectForm(metadata, app string) slack.ModalViewRequest {
	text := slack.NewTextBlockObject(slack.MarkdownType, fmt.Sprintf("Which GitLab project is *%s*? This channel is subscribed to it.", prose(app, maxName)), false, true)
	return form(formConnect, "Connect GitLab project", "Connect", metadata,
		slack.NewSectionBlock(text, nil, nil),
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
	return slack.NewOptionBlockObject(value, plainText(clip(or(clean(text), "–"), maxOptionText)), nil)
}

// resultView shows an answer in a modal.
func resultView(a Answer) slack.ModalViewRequest {
	blocks := a.Blocks
	if len(blocks) == 0 {
		blocks = []slack.Block{section(clipEscaped(a.Text, maxSection))}
	}
	return slack.ModalViewRequest{
		Type: slack.VTModal, Title: plainText("Kovra"), Close: plainText("Close"), Blocks: slack.Blocks{BlockSet: blocks},
	}
}
