package bot

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	formSubscribe = "subscribe"

	fieldTopics    = "topics"
	fieldRefs      = "refs"
	fieldSources   = "sources"
	fieldBy        = "by"
	fieldOnly      = "only"
	fieldBroadcast = "broadcast"
	fieldQuiet     = "quiet"
)

// sources are GitLab's words for where a pipeline comes from, those that people ask for.
var sources = []string{"push", "merge_request_event", "schedule", "web", "api", "trigger", "pipeline"}

// clickSubscribe opens the form of a new subscription of an app, for those who may subscribe.
func (h *Handler) clickSubscribe(ctx context.Context, ask asker, app string) (Answer, error) {
	if err := kovra.CheckAppName(app); err != nil {
		return Answer{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
	}
	if err := h.may(ctx, ask, kovra.MayAdmin, app); err != nil {
		return Answer{}, err
	}
	return Answer{}, h.open(ctx, ask, subscribeForm(ask.form(app), app, kovra.Filter{}))
}

// clickEditSubscription opens the form of one that there is.
func (h *Handler) clickEditSubscription(ctx context.Context, ask asker, value string) (Answer, error) {
	s, err := h.clickedSubscription(ctx, ask, value)
	if err != nil {
		return Answer{}, err
	}
	if err := h.may(ctx, ask, kovra.MayAdmin, s.App); err != nil {
		return Answer{}, err
	}
	at := formPlace{App: s.App, Channel: ask.channel, Thread: ask.thread, Reply: ask.reply, Subscription: s.ID}
	return Answer{}, h.open(ctx, ask, subscribeForm(at.encode(), s.App, s.Filter))
}

// clickRemoveSubscription takes a subscription away; Slack has asked before.
func (h *Handler) clickRemoveSubscription(ctx context.Context, ask asker, value string) (Answer, error) {
	s, err := h.clickedSubscription(ctx, ask, value)
	if err != nil {
		return Answer{}, err
	}
	return h.do(ctx, ask, kovra.Action{Kind: kovra.ActUnsubscribe, App: s.App, Params: kovra.Params{Subscription: s.ID, Filter: s.Filter}}, nil)
}

func (h *Handler) clickedSubscription(ctx context.Context, ask asker, value string) (kovra.Subscription, error) {
	id, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return kovra.Subscription{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
	}
	return h.subscriptionHere(ctx, ask, id)
}

// subscriptionHere is a subscription of the channel in which it is asked for.
func (h *Handler) subscriptionHere(ctx context.Context, ask asker, id int64) (s kovra.Subscription, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		s, err = tx.Subscription(id)
		return err
	})
	if kovra.KindOf(err) == kovra.NotFound || err == nil && s.Channel != ask.channel {
		return s, kovra.Errorf(kovra.NotFound, saysNoSubscription, id)
	}
	return s, err
}

func subscribeForm(metadata, app string, f kovra.Filter) slack.ModalViewRequest {
	f = f.Normal()
	topics := slack.NewCheckboxGroupsBlockElement(fieldTopics, topicOptions(kovra.Topics())...)
	topics.InitialOptions = topicOptions(slices.DeleteFunc(kovra.Topics(), func(t kovra.Topic) bool { return !f.Has(t) }))
	quiet := slack.NewCheckboxGroupsBlockElement(fieldQuiet, option(quietWord, saysQuietHint))
	if f.Quiet {
		quiet.InitialOptions = quiet.Options
	}
	from := slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeStatic, plainText("Every source"), fieldSources, sourceOptions(withOwn(sources, f.Sources))...)
	from.InitialOptions = sourceOptions(f.Sources)
	return form(formSubscribe, labelChoose, "Subscribe", metadata,
		section("*"+prose(app, maxName)+"*"),
		field(fieldTopics, "Hear of", "", topics),
		optional(field(fieldRefs, "Branches and tags", saysRefsHint, line(fieldRefs, "main, release/*", strings.Join(f.Refs, ", ")))),
		optional(field(fieldBy, "Started by", saysByHint, line(fieldBy, "!bots", strings.Join(f.By, ", ")))),
		optional(field(fieldSources, "Sources of pipelines", "", from)),
		field(fieldOnly, "When", "", radio(fieldOnly, string(f.Only), [][2]string{
			{"all", "Always"}, {string(kovra.OnlyFailures), "Once something fails"}, {string(kovra.OnlyChanges), "Once it is newly broken, or fixed"},
		})),
		field(fieldBroadcast, "News in the channel itself", "", radio(fieldBroadcast, string(f.Broadcast), [][2]string{
			{string(kovra.BroadcastOn), "Of default and protected branches and tags"}, {string(kovra.BroadcastAll), "Of every branch"}, {string(kovra.BroadcastOff), "Never"},
		})),
		optional(field(fieldQuiet, "Quiet", "", quiet)),
	)
}

func topicOptions(topics []kovra.Topic) []*slack.OptionBlockObject {
	var out []*slack.OptionBlockObject
	for _, t := range topics {
		out = append(out, option(string(t), topicLabels[t]))
	}
	return out
}

func sourceOptions(words []string) []*slack.OptionBlockObject {
	var out []*slack.OptionBlockObject
	for _, s := range words {
		out = append(out, option(s, strings.ReplaceAll(s, "_", " ")))
	}
	return out
}

// withOwn is the usual choice and what somebody has typed besides.
func withOwn(usual, own []string) []string {
	out := slices.Clone(usual)
	for _, s := range own {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func line(name, example, value string) *slack.PlainTextInputBlockElement {
	e := slack.NewPlainTextInputBlockElement(plainText(example), name)
	e.InitialValue = value
	return e
}

// radio offers a choice of one; the first is taken where none is chosen.
func radio(name, chosen string, choices [][2]string) *slack.RadioButtonsBlockElement {
	var options []*slack.OptionBlockObject
	for _, c := range choices {
		options = append(options, option(c[0], c[1]))
	}
	e := slack.NewRadioButtonsBlockElement(name, options...)
	e.InitialOption = options[0]
	for _, o := range options {
		if o.Value == chosen {
			e.InitialOption = o
		}
	}
	return e
}

// readSubscribeForm makes a subscription of what was filled in; it is understood as if it had been typed.
func readSubscribeForm(p *payload, app string, subscription int64) (kovra.Action, map[string]string) {
	wrong := map[string]string{}
	c := Command{Group: GroupKovra, Verb: VerbSubscribe}
	take := func(field, word string) {
		next, _, err := c.takeFilter(word)
		if err != nil {
			wrong[field] = clip(clean(kovra.PublicText(err)), maxFieldError)
			return
		}
		c = next
	}
	topics := p.choices(fieldTopics)
	for _, t := range topics {
		take(fieldTopics, t)
	}
	if len(topics) == 0 {
		wrong[fieldTopics] = saysSomethingElse
	}
	for _, v := range fieldList(p.field(fieldRefs)) {
		take(fieldRefs, refPrefix+v)
	}
	for _, v := range fieldList(p.field(fieldBy)) {
		take(fieldBy, byPrefix+v)
	}
	for _, v := range p.choices(fieldSources) {
		take(fieldSources, sourcePrefix+v)
	}
	if only := p.field(fieldOnly); only != "" && only != "all" {
		take(fieldOnly, onlyPrefix+only)
	}
	take(fieldBroadcast, broadcastPrefix+p.field(fieldBroadcast))
	c.Filter.Quiet = len(p.choices(fieldQuiet)) > 0
	if len(wrong) == 0 {
		var err error
		if c, err = c.tidyFilter(); err != nil {
			at := fieldOnly
			if f := c.Filter; f.Only == "" || len(f.Sources) > 0 && !f.Has(kovra.TopicPipelines) {
				at = fieldTopics
			}
			wrong[at] = clip(clean(kovra.PublicText(err)), maxFieldError)
		}
	}
	return kovra.Action{Kind: kovra.ActSubscribe, App: app, Params: kovra.Params{Filter: c.Filter, Subscription: subscription}}, wrong
}

// fieldList are the parts of a field that are separated by commas or spaces.
func fieldList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || isSpace(r) })
}
