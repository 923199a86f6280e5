package bot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

const (
	// HomePage is how many pipelines or builds one page of App Home has.
	HomePage = 8
	// maxHomeApps is how many apps the overview of App Home shows.
	maxHomeApps = 40
	// noticeSuffix keeps the buttons of a notice apart from those of the page below it.
	noticeSuffix = ":notice"
)

// HomeView is everything that one App Home shows: state, and nothing but state.
type HomeView struct {
	Home kovra.Home
	Apps []kovra.App // that the person may see
	Gone bool        // the chosen app is not among them
	// Rows are the apps of the overview, where no app is chosen.
	Rows []AppRow
	// List or Builds is the page of the chosen app.
	List   List
	Builds BuildList
	// Last is the newest deployment of the app: it alone can be rolled back; nil: there was none.
	Last *kovra.Deployment
	// Deed is the newest thing that was done here; nil: none. Connect is where its person connects their GitLab
	// account, if it waits for that.
	Deed    *Deed
	Connect string
	// NoBuilds says why builds are off; "": they are on.
	NoBuilds string
	// Refused says why the person may see nothing at all, Waits what is being waited for before anything is known.
	Refused, Waits string
}

// renderHome is the picture of an App Home. It keeps Slack's limits.
func renderHome(v HomeView) slack.HomeTabViewRequest {
	blocks := homeNotice(v)
	switch app, ok := v.app(); {
	case v.Waits != "":
		blocks = []slack.Block{section("⏳ " + prose(v.Waits, maxReason)), contextLine(saysHomeWaits)}
	case v.Refused != "":
		blocks = []slack.Block{section("🔒 " + prose(v.Refused, maxReason))}
	case len(v.Apps) == 0:
		blocks = append(blocks, section(saysHomeWelcome), section(saysHomeEmpty...))
	case !ok || v.Gone:
		blocks = append(blocks, homeOverview(v)...)
	case app.Project == 0:
		blocks = append(append(blocks, homeHead(v)...), RenderConnect(app.Name).Blocks...)
	case v.Home.Tab == kovra.HomeBuilds:
		blocks = append(append(blocks, homeHead(v)...), homeBuilds(v)...)
	default:
		blocks = append(append(blocks, homeHead(v)...), homePipelines(v)...)
	}
	return fitHome(blocks)
}

// homeNotice says what became of what the person did.
func homeNotice(v HomeView) []slack.Block {
	var a Answer
	switch d := v.Deed; {
	case d == nil && v.Home.Notice == "":
		return nil
	case d == nil:
		a = notice(v.Home.Notice)
	case d.Action.By.ID != v.Home.User:
		a = RenderTaken(*d, v.Home.User)
	case v.asksToConnect():
		asked := *d
		asked.Connect = v.Connect
		a = renderPrompt(asked)
	default:
		a = RenderAction(*d)
	}
	var blocks []slack.Block
	for _, b := range a.Blocks {
		if b := forNotice(b); b != nil {
			blocks = append(blocks, b)
		}
	}
	return append(blocks, slack.NewDividerBlock())
}

// forNotice makes the buttons of a block differ from those of the page, and leaves out those that lead to the page
// itself; nil: nothing is left.
func forNotice(b slack.Block) slack.Block {
	actions, ok := b.(*slack.ActionBlock)
	if !ok {
		return b
	}
	var kept []slack.BlockElement
	for _, e := range actions.Elements.ElementSet {
		one, ok := e.(*slack.ButtonBlockElement)
		if !ok || ActionName(one.ActionID) == ActionList || ActionName(one.ActionID) == ActionBuilds {
			continue
		}
		one.ActionID += noticeSuffix
		kept = append(kept, one)
	}
	if len(kept) == 0 {
		return nil
	}
	return slack.NewActionBlock("", kept...)
}

// homeHead is where one chooses what to see, and what is seen.
func homeHead(v HomeView) []slack.Block {
	tab := func(t kovra.HomeTab, label string) *slack.ButtonBlockElement {
		b := button(ActionHomeTab+":"+string(t), string(t), label)
		if t == v.Home.Tab || t == kovra.HomePipelines && v.Home.Tab == "" {
			b.Style = slack.StylePrimary
		}
		return b
	}
	elements := []slack.BlockElement{homePicker(v), tab(kovra.HomePipelines, "Pipelines"), tab(kovra.HomeBuilds, "Builds")}
	if len(v.Apps) > 1 {
		elements = append(elements, button(ActionHomeApp+":all", "", "All apps"))
	}
	return []slack.Block{slack.NewActionBlock("home:"+v.Home.App, elements...)}
}

// homePicker chooses an app. It searches where there are more apps than Slack lists.
func homePicker(v HomeView) *slack.SelectBlockElement {
	if len(v.Apps) > maxOptions {
		e := typeAhead(ActionHomeApp, "Choose an app")
		e.InitialOption = homeChoice(v)
		return e
	}
	var options []*slack.OptionBlockObject
	for _, a := range v.Apps {
		options = append(options, option(a.Name, a.Name))
	}
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Choose an app"), ActionHomeApp, options...)
	e.InitialOption = homeChoice(v)
	return e
}

func homeChoice(v HomeView) *slack.OptionBlockObject {
	if app, ok := v.app(); ok && !v.Gone {
		return option(app.Name, app.Name)
	}
	return nil
}

// homeOverview is all apps, for somebody who has chosen none.
func homeOverview(v HomeView) []slack.Block {
	blocks := []slack.Block{slack.NewActionBlock("home:", homePicker(v))}
	if v.Gone {
		blocks = append(blocks, contextLine(fmt.Sprintf(saysHomeGone, prose(v.Home.App, maxName))))
	}
	blocks = append(blocks, section("*"+plural(len(v.Apps), "app", "apps")+"*"))
	for _, r := range v.Rows {
		blocks = append(blocks, sectionWith(strings.TrimPrefix(appLine(r), "• "), button(ActionHomeApp+":"+r.App.Name, r.App.Name, "Open")))
	}
	if left := len(v.Apps) - len(v.Rows); left > 0 {
		blocks = append(blocks, contextLine(fmt.Sprintf(saysHomeMore, left)))
	}
	return blocks
}

// homePipelines is one page of pipelines.
func homePipelines(v HomeView) []slack.Block {
	l := v.List
	head := dots("*"+prose(l.App.Name, maxName)+"*", projectText(l.App, l.Project))
	if l.Ref != "" {
		head = dots(head, "on "+code(l.Ref, maxRef))
	}
	blocks := []slack.Block{section(head)}
	if len(l.Runs) == 0 {
		blocks = append(blocks, section(emptyList(l)))
	}
	for i := range l.Runs {
		blocks = append(blocks, listCard(l, &l.Runs[i])...)
	}
	blocks = append(blocks, slack.NewDividerBlock())
	return row(blocks, append([]*slack.ButtonBlockElement{runButton(l.App.Name, l.Ref)}, listPages(l)...)...)
}

// homeBuilds is one page of builds.
func homeBuilds(v HomeView) []slack.Block {
	l := v.Builds
	auto := autoText(l.Settings)
	if v.NoBuilds != "" {
		auto = fmt.Sprintf(saysHomeNoBuilds, prose(v.NoBuilds, maxReason))
	}
	blocks := []slack.Block{section(dots("*"+prose(l.App.Name, maxName)+"*", projectText(l.App, l.Project))), contextLine(auto)}
	if v.Last != nil {
		blocks = append(blocks, contextLine(dots(deploymentWords(v.Last), imageText(v.Last.Image), buildNumber(v.Last.Build))))
	}
	if v.NoBuilds == "" && l.Settings.AutoDeploy && l.Settings.Paused {
		blocks = append(blocks, contextLine(pausedText(l.Settings)))
	}
	if len(l.Builds) == 0 && v.NoBuilds == "" {
		blocks = append(blocks, section(saysNoBuilds))
	}
	for i := range l.Builds {
		b := &l.Builds[i]
		card := buildListCard(l, b)
		if v.NoBuilds != "" { // there is nobody to do what the other buttons say
			log := buildLogButton(kovra.View{Build: b}, "Log", fmt.Sprintf(":%d", b.ID))
			card = row(card[:1], log)
		}
		blocks = append(blocks, card...)
	}
	blocks = append(blocks, slack.NewDividerBlock())
	buttons := []*slack.ButtonBlockElement{settingsButton(l.App.Name)}
	if v.NoBuilds == "" {
		buttons = []*slack.ButtonBlockElement{
			triggerButton(l.App.Name, ""), settingsButton(l.App.Name), homeRollBack(v), resumeButton(l.App.Name, l.Settings),
		}
	}
	return row(blocks, append(buttons, buildPages(l)...)...)
}

// homeRollBack takes back the newest deployment, or is nil.
func homeRollBack(v HomeView) *slack.ButtonBlockElement {
	if v.Last == nil || v.Last.Build == 0 {
		return nil
	}
	app := v.Builds.App
	shown := kovra.View{App: app, Build: &kovra.Build{ID: v.Last.Build, App: app.Name, Project: app.Project}, LastDeployment: v.Last.ID}
	return rollBackButton(shown, *v.Last)
}

// fitHome makes a Home of blocks. Where they are too many or too large, some before the last go, and it says so.
func fitHome(blocks []slack.Block) slack.HomeTabViewRequest {
	page := func() slack.HomeTabViewRequest {
		return slack.HomeTabViewRequest{Type: slack.VTHomeTab, Blocks: slack.Blocks{BlockSet: blocks}}
	}
	for shortened := false; len(blocks) > 2 && (len(blocks) > maxViewBlocks || viewSize(page()) > maxView); {
		if !shortened {
			blocks, shortened = slices.Insert(slices.Clone(blocks), len(blocks)-1, contextLine(saysTooLong)), true
		}
		blocks = slices.Delete(blocks, len(blocks)-3, len(blocks)-2)
	}
	return page()
}
