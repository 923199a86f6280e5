package bot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Forms of builds. The fields of settings are named after the settings.
const (
	formTrigger  = "trigger"
	formSettings = "settings"
)

// clickTrigger opens the form that starts a build. It can be filled in without GitLab.
func (h *Handler) clickTrigger(ctx context.Context, ask asker, value string) (Answer, error) {
	at, app, err := h.clickedApp(ctx, ask, value)
	if err != nil {
		return Answer{}, err
	}
	p, s, err := h.readSettings(ctx, app)
	if err != nil {
		return Answer{}, err
	}
	branch := s.Branch
	if s.ChangedAt.IsZero() {
		branch = cmp.Or(p.DefaultBranch, branch)
	}
	return Answer{}, h.open(ctx, ask, triggerForm(ask.form(app.Name), app.Name, cmp.Or(at.Ref, branch)))
}

func (h *Handler) readSettings(ctx context.Context, app kovra.App) (p kovra.Project, s kovra.BuildSettings, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		if _, p, err = linkedApp(tx, app); err != nil {
			return err
		}
		s, err = tx.BuildSettings(app.Name)
		return err
	})
	return p, s, err
}

func triggerForm(metadata, app, ref string) slack.ModalViewRequest {
	return form(formTrigger, "Trigger Build", "Build", metadata,
		section("*"+prose(app, maxName)+"*"),
		field(fieldRef, "Branch or tag", "", refField(ref)),
	)
}

func readTriggerForm(p *payload, app string) (kovra.Action, map[string]string) {
	ref := p.field(fieldRef)
	if ref == "" {
		return kovra.Action{}, map[string]string{fieldRef: saysPickBranch}
	}
	return buildAction(app, ref), nil
}

// settingsOf answers `/build settings`.
func (h *Handler) settingsOf(ctx context.Context, r request) (Answer, error) {
	app, _ := r.find(r.target.App)
	return h.showSettings(ctx, r.asker, app)
}

// clickSettings answers the Settings button.
func (h *Handler) clickSettings(ctx context.Context, ask asker, name string) (Answer, error) {
	app, err := h.namedApp(ctx, ask, name)
	if err != nil {
		return Answer{}, err
	}
	return h.showSettings(ctx, ask, app)
}

// showSettings opens the form of the settings for those who may change them; others read them as text.
func (h *Handler) showSettings(ctx context.Context, ask asker, app kovra.App) (Answer, error) {
	_, s, err := h.readSettings(ctx, app)
	if err != nil {
		return Answer{}, err
	}
	err = h.may(ctx, ask, kovra.MayAdmin, app.Name)
	if kovra.KindOf(err) == kovra.Denied {
		return RenderSettings(app.Name, s), nil
	}
	if err != nil {
		return Answer{}, err
	}
	return Answer{}, h.open(ctx, ask, settingsForm(ask.formSince(app.Name, s.ChangedAt), app.Name, s))
}

// setting is one field of the form: how it looks, and how what was filled in becomes a setting.
type setting struct {
	field    kovra.SettingField
	label    string
	hint     string
	example  string
	optional bool
	kind     inputKind
	get      func(kovra.BuildSettings) string
	set      func(*kovra.BuildSettings, string) error
}

// inputKind is what a setting is filled in with.
type inputKind int

const (
	inputText inputKind = iota
	inputLines
	inputSwitch
)

func textSetting(f kovra.SettingField, label, hint, example string, at func(*kovra.BuildSettings) *string) setting {
	return setting{
		field: f, label: label, hint: hint, example: example, optional: true,
		get: func(s kovra.BuildSettings) string { return *at(&s) },
		set: func(s *kovra.BuildSettings, v string) error {
			*at(s) = strings.TrimSpace(v)
			return nil
		},
	}
}

func listSetting(f kovra.SettingField, label, hint, example string, at func(*kovra.BuildSettings) *[]string) setting {
	return setting{
		field: f, label: label, hint: hint, example: example, optional: true, kind: inputLines,
		get: func(s kovra.BuildSettings) string { return strings.Join(*at(&s), "\n") },
		set: func(s *kovra.BuildSettings, v string) error {
			*at(s) = nil
			for line := range strings.Lines(v) {
				if line = strings.TrimSpace(line); line != "" {
					*at(s) = append(*at(s), line)
				}
			}
			return nil
		},
	}
}

func switchSetting(f kovra.SettingField, label, hint string, at func(*kovra.BuildSettings) *bool) setting {
	return setting{
		field: f, label: label, hint: hint, kind: inputSwitch,
		get: func(s kovra.BuildSettings) string { return onOff(*at(&s)) },
		set: func(s *kovra.BuildSettings, v string) error {
			if v != switchOn && v != switchOff {
				return kovra.Errorf(kovra.Invalid, saysPickSwitch)
			}
			*at(s) = v == switchOn
			return nil
		},
	}
}

// settingGroups are the fields of the form under their headings, in order.
var settingGroups = []struct {
	heading  string
	settings []setting
}{
	{"", []setting{
		switchSetting(kovra.FieldEnabled, "Enable builds", "Each push to the branch starts a build.", func(s *kovra.BuildSettings) *bool { return &s.Enabled }),
		branchSetting(),
		textSetting(kovra.FieldDockerfile, "Dockerfile path", "", "auto-detected", func(s *kovra.BuildSettings) *string { return &s.Dockerfile }),
		switchSetting(kovra.FieldAutoDeploy, "Auto-deploy", "A successful build of a push goes into the Deployment below.", func(s *kovra.BuildSettings) *bool { return &s.AutoDeploy }),
		argsSetting(),
	}},
	{"Deployment to update", []setting{
		textSetting(kovra.FieldNamespace, "Namespace", "", "production", func(s *kovra.BuildSettings) *string { return &s.Target.Namespace }),
		textSetting(kovra.FieldDeployment, "Deployment", "", "web", func(s *kovra.BuildSettings) *string { return &s.Target.Deployment }),
		textSetting(kovra.FieldContainer, "Container", saysContainer, "app", func(s *kovra.BuildSettings) *string { return &s.Target.Container }),
		switchSetting(kovra.FieldAllowManaged, "Allow managed Deployments", "On: also where Argo CD, Flux or Helm own the Deployment.", func(s *kovra.BuildSettings) *bool { return &s.AllowManaged }),
	}},
	{"What is built", []setting{
		switchSetting(kovra.FieldSupersede, "Supersede pending builds", "A newer push cancels a build of the branch that has not begun.", func(s *kovra.BuildSettings) *bool { return &s.Supersede }),
		textSetting(kovra.FieldTags, "Build tags matching", saysTags, "v*", func(s *kovra.BuildSettings) *string { return &s.Tags }),
		textSetting(kovra.FieldContext, "Context directory", "", "root of the repository", func(s *kovra.BuildSettings) *string { return &s.Context }),
		listSetting(kovra.FieldPaths, "Only when these paths change", saysPaths, "services/web/**", func(s *kovra.BuildSettings) *[]string { return &s.Paths }),
		listSetting(kovra.FieldSecrets, "Build secrets", saysSecrets, "npm-token", func(s *kovra.BuildSettings) *[]string { return &s.Secrets }),
	}},
	{"Where it is built", []setting{
		textSetting(kovra.FieldBuildNamespace, "Build namespace", "", "default", func(s *kovra.BuildSettings) *string { return &s.Namespace }),
		textSetting(kovra.FieldAccount, "Service account", "", "default", func(s *kovra.BuildSettings) *string { return &s.ServiceAccount }),
		textSetting(kovra.FieldRegistry, "Registry", "", "default", func(s *kovra.BuildSettings) *string { return &s.Registry }),
	}},
}

func branchSetting() setting {
	s := textSetting(kovra.FieldBranch, "Branch", "", kovra.DefaultBuildBranch, func(s *kovra.BuildSettings) *string { return &s.Branch })
	s.optional = false
	return s
}

// argsSetting takes build arguments as lines. What was not touched stays as it is, whatever quotes it has.
func argsSetting() setting {
	get := func(s kovra.BuildSettings) string { return buildArgLines(s.Args) }
	return setting{
		field: kovra.FieldArgs, label: "Build arguments", hint: saysArgs, example: "KEY=VALUE", optional: true, kind: inputLines, get: get,
		set: func(s *kovra.BuildSettings, v string) error {
			if v == get(*s) {
				return nil
			}
			args, err := ParseBuildArgs(v)
			s.Args = args
			return err
		},
	}
}

// settingsForm shows all settings as they are. One that is too long for a field is left out.
func settingsForm(metadata, app string, s kovra.BuildSettings) slack.ModalViewRequest {
	blocks := []slack.Block{section("*" + prose(app, maxName) + "*"), contextLine(changedText(s))}
	if s.AutoDeploy && s.Paused {
		blocks = append(blocks, contextLine(pausedText(s)))
	}
	for _, g := range settingGroups {
		if g.heading != "" {
			blocks = append(blocks, slack.NewDividerBlock(), section("*"+g.heading+"*"))
		}
		for _, one := range g.settings {
			if utf8.RuneCountInString(one.get(s)) > maxInitial {
				blocks = append(blocks, contextLine(fmt.Sprintf(saysNotShown, one.label)))
				continue
			}
			blocks = append(blocks, one.block(s))
		}
	}
	return form(formSettings, "Build settings", "Save", metadata, blocks...)
}

// block is the field of a setting with its present value.
func (one setting) block(s kovra.BuildSettings) slack.Block {
	name, value := string(one.field), one.get(s)
	b := field(name, one.label, one.hint, one.element(name, value))
	b.Optional = one.optional
	return b
}

func (one setting) element(name, value string) slack.BlockElement {
	if one.kind == inputSwitch {
		on, off := option(switchOn, "On"), option(switchOff, "Off")
		e := slack.NewRadioButtonsBlockElement(name, on, off)
		e.InitialOption = off
		if value == switchOn {
			e.InitialOption = on
		}
		return e
	}
	e := slack.NewPlainTextInputBlockElement(plainText(one.example), name)
	e.Multiline = one.kind == inputLines
	e.InitialValue = strings.ToValidUTF8(value, "\uFFFD")
	return e
}

// readSettingsForm makes settings of what was filled in. A field that the form does not have keeps its value, and
// what is wrong is said at the field that it is about.
func (h *Handler) readSettingsForm(ctx context.Context, p *payload, app kovra.App, since int64) (kovra.Action, map[string]string, error) {
	_, s, err := h.readSettings(ctx, app)
	if err != nil {
		return kovra.Action{}, nil, err
	}
	wrong := map[string]string{}
	first := ""
	for _, g := range settingGroups {
		for _, one := range g.settings {
			name := string(one.field)
			if !p.has(name) {
				continue
			}
			first = cmp.Or(first, name)
			if err := one.set(&s, p.field(name)); err != nil {
				addWrong(wrong, name, kovra.PublicText(err))
			}
		}
	}
	if first == "" {
		return kovra.Action{}, nil, &kovra.Error{Kind: kovra.Invalid, Public: saysOldModal, Err: errors.New("no settings in the form")}
	}
	for _, problem := range s.Check() {
		name := string(problem.Field)
		if !p.has(name) {
			name = first // Slack takes no errors of fields that it does not show
		}
		addWrong(wrong, name, problem.Text)
	}
	s.ChangedAt = time.Time{}
	if since != 0 {
		s.ChangedAt = time.Unix(0, since).UTC()
	}
	return kovra.Action{Kind: kovra.ActBuildSetting, App: app.Name, Params: kovra.Params{Settings: &s}}, wrong, nil
}

func addWrong(wrong map[string]string, field, text string) {
	wrong[field] = clip(clean(joinNonEmpty(" ", []string{wrong[field], text})), maxFieldError)
}
