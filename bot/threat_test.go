package bot

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
)

// attacks are what somebody would call a branch, a job, a commit, an app or themselves.
var attacks = []string{
	"<!channel>", "<!here|here>", "<!everyone>", "<!subteam^S0123456>", "<@U0123456>", "<@W0123456|boss>", "<#C0123456|general>", "<https://evil.example|GitLab>",
	"<mailto:x@evil.example|mail>", "<!date^1^{date}^https://evil.example|now>", "&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;", "&#60;!channel&#62;", "@channel @here @everyone",
	"`<!channel>`", "``` <!channel> ```", "```\n<!channel>\n```", "a`b``c```d", "\n<!channel>", "\r\n> <!channel>", "\u2028<!channel>", "\x00<!channel>", "\x1b]8;;https://evil.example\x07x\x1b]8;;\x07",
	"\u202e>lennahc!<", "\u2066<!channel>\u2069", "\u200b<\u200b!channel>", "*<!channel>*", "_~*`", "|<!channel>", "<<!channel>>", "<!chan\nnel>", "https://evil.example/|x>", ">", "<", "&",
	":white_check_mark: <!channel>", strings.Repeat("<!channel>", 500), strings.Repeat("`", 4000), strings.Repeat("&lt;", 3000), strings.Repeat("x", 3900) + "<!channel>", "\xff<!channel>\xfe",
}

// words are the values that renderers tell apart.
var words = map[reflect.Type][]string{
	reflect.TypeFor[kovra.Status]():         {"running", "failed", "success", "manual", "created"},
	reflect.TypeFor[kovra.BuildStatus]():    {string(kovra.BuildFailed), string(kovra.BuildSucceeded), string(kovra.BuildBuilding), string(kovra.BuildCancelled)},
	reflect.TypeFor[kovra.ActionState]():    {string(kovra.ActionDone), string(kovra.ActionFailed), string(kovra.ActionAsks), string(kovra.ActionWaits)},
	reflect.TypeFor[kovra.ErrorKind]():      {string(kovra.Denied), string(kovra.Unavailable), string(kovra.Conflict)},
	reflect.TypeFor[kovra.SubjectKind]():    {string(kovra.SubjectMergeRequest), string(kovra.SubjectTag), string(kovra.SubjectDeployment), string(kovra.SubjectRelease), string(kovra.SubjectPush)},
	reflect.TypeFor[kovra.DeploymentKind](): {string(kovra.AutoDeploy), string(kovra.Deploy), string(kovra.RollBack)},
	reflect.TypeFor[kovra.HomeTab]():        {string(kovra.HomePipelines), string(kovra.HomeBuilds)},
	reflect.TypeFor[kovra.ActionKind](): {
		"run", "retry", "cancel", "retry_job", "play", "link", "unlink", "create_app", "delete_app", "subscribe", "unsubscribe", "show_logs", "hide_logs", "build", "cancel_build",
		"rebuild", "deploy", "roll_back", "build_setting", "resume_deploy", "connect", "disconnect", "notify", "watch", "help",
	},
}

// stuffing puts a text into every string that it finds, and something into everything else.
type stuffing struct {
	*rand.Rand
	text string
}

func (f stuffing) fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		text := f.text
		if known := words[v.Type()]; known != nil && f.IntN(8) > 0 {
			text = known[f.IntN(len(known))]
		}
		if f.IntN(6) == 0 {
			text = "" // so that what shows only without something is shown
		}
		v.SetString(text)
	case reflect.Int, reflect.Int64:
		v.SetInt(f.Int64N(5))
	case reflect.Bool:
		v.SetBool(f.IntN(2) == 0)
	case reflect.Pointer:
		if depth > 0 && f.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth-1)
		}
	case reflect.Slice:
		if depth > 0 {
			n := f.IntN(4)
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			f.fill(v.Index(i), depth-1)
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i), depth)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1_772_000_000+f.Int64N(100), 0).UTC()))
			return
		}
		for _, field := range v.Fields() {
			if field.CanSet() {
				f.fill(field, depth)
			}
		}
	default: // maps
	}
}

func stuffed[T any](f stuffing) T {
	var v T
	f.fill(reflect.ValueOf(&v).Elem(), 4)
	return v
}

// TestNoRendererLetsMarkupThrough: whatever of a view is whatever text, Slack sees no markup but ours, and mentions nobody.
func TestNoRendererLetsMarkupThrough(t *testing.T) {
	turns := 20
	if testing.Short() {
		turns = 5
	}
	for n, text := range attacks {
		for turn := range turns {
			f := stuffing{rand.New(rand.NewPCG(uint64(n), uint64(turn))), text}
			checkAttack(t, fmt.Sprintf("attack %d, turn %d", n, turn), f)
		}
	}
}

func checkAttack(t *testing.T, what string, f stuffing) {
	t.Helper()
	text := f.text
	view := stuffed[kovra.View](f)
	run, build, subject, alone := view, view, view, view
	run.Build, run.Subject = nil, nil
	if build.Build == nil {
		b := stuffed[kovra.Build](f)
		build.Build = &b
	}
	build.Subject, subject.Build, alone.Build, alone.Subject = nil, nil, nil, nil
	alone.Thread.Channel = "@U0AAAAAAA" // which is no text of others
	for name, v := range map[string]kovra.View{"run": run, "build": build, "subject": subject, "personal": alone} {
		for _, m := range Render(v) {
			checkQuiet(t, what+" "+name+" "+m.Slot, m.Text, m.Blocks)
		}
	}
	deed := stuffed[Deed](f)
	row := stuffed[AppRow](f)
	settings := stuffed[kovra.BuildSettings](f)
	for i, a := range []Answer{
		RenderConnect(text), RenderError(kovra.Errorf(kovra.Invalid, "%s", text)), RenderHelp(text, []string{text}), RenderAction(deed), RenderTaken(deed, text),
		RenderUnavailable(Unavailable{Kind: deed.Action.Kind, View: run, Attempt: 1}), RenderStale(Unavailable{Kind: deed.Action.Kind, View: run, Attempt: 1}),
		RenderBuilds(stuffed[BuildList](f)), RenderBuildLog(build), RenderSettings(text, settings), RenderJobs(run, 0), RenderLog(run, stuffed[kovra.Job](f)),
		RenderList(stuffed[List](f)), RenderApps([]AppRow{row, row}), RenderApp(row), RenderSubscriptions(row.Subscriptions, text),
		RenderAudit(text, []AuditRow{stuffed[AuditRow](f)}, 3), RenderWhy(text, text, []string{text, text}), renderPrompt(deed), RenderThreadActions(run),
		RenderError(&Choose{Apps: []string{text}, Command: Command{Group: GroupPipeline, Verb: VerbRun, Words: []string{text}}}),
	} {
		checkQuiet(t, fmt.Sprint(what, " answer ", i), a.Text, a.Blocks)
	}
	home := stuffed[HomeView](f)
	home.Home.Notice = wordsOf(RenderError(kovra.Errorf(kovra.Denied, "%s", text))) // it is kept as it is shown
	if f.IntN(2) == 0 {
		home.Waits, home.Refused = "", ""
	}
	if f.IntN(2) == 0 && len(home.Apps) > 0 {
		home.Home.App, home.Gone = home.Apps[0].Name, false
	}
	checkQuiet(t, what+" home", "", renderHome(home).Blocks.BlockSet)
	for i, f := range []slack.ModalViewRequest{
		runForm("{}", text, text), connectForm("{}", text, "Link a project to %s."), triggerForm("{}", text, text), settingsForm("{}", text, settings),
		subscribeForm("{}", text, stuffed[kovra.Filter](f)),
	} {
		checkQuiet(t, fmt.Sprint(what, " form ", i), "", f.Blocks.BlockSet)
	}
}

// checkQuiet is checkHarmless where nobody at all may be mentioned: every id in the view is a text of others.
func checkQuiet(t *testing.T, what, text string, blocks []slack.Block) {
	t.Helper()
	raw, err := json.Marshal(blocks)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(markupOf(t, raw), text) {
		for _, token := range anyToken.FindAllString(s, -1) {
			if !ownToken.MatchString(token) || strings.HasPrefix(token, "<@") || strings.HasPrefix(token, "<#") {
				t.Fatalf("%s: token %q in %q", what, token, s)
			}
		}
		if rest := anyToken.ReplaceAllString(s, ""); strings.ContainsAny(rest, "<>\u202e\u2066\x00\x1b") || strings.Contains(bareAmp.ReplaceAllString(s, ""), "&") {
			t.Fatalf("%s: not escaped: %q", what, s)
		}
	}
	if m := slacksim.Mentions(slacksim.Message{Text: text, Blocks: raw}); len(m) > 0 {
		t.Fatalf("%s mentions %s", what, m)
	}
}
