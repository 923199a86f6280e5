package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// viewHome is Slack's word for App Home, as a tab and as a kind of view.
const viewHome = "home"

// homeMark is Slack's mark of the view that an App Home shows.
type homeMark struct {
	Hash string `json:"hash"`
}

// atHome reports whether it was clicked in App Home itself, and not in a modal above it.
func (a asker) atHome() bool { return a.home && a.view == "" }

// homeOpened records that somebody looks at their App Home; [Homes] shows it. What Slack shows there counts, not what we
// remember of it.
func (h *Handler) homeOpened(ctx context.Context, user, team, hash string) error {
	return h.turnHome(ctx, kovra.Person{ID: user, Team: team}, func(home *kovra.Home) {
		if home.Hash != hash {
			home.Hash, home.Digest = hash, ""
		}
	})
}

// turnHome changes what somebody looks at. What was told them there and was seen makes room.
func (h *Handler) turnHome(ctx context.Context, who kovra.Person, change func(*kovra.Home)) error {
	return h.DB.Update(ctx, func(tx *storage.Tx) error {
		home, err := tx.HomeOf(who.ID)
		if err != nil {
			return err
		}
		if home.ShownVersion >= home.Version {
			home.Notice = ""
			if home.Action, err = unended(tx, home.Action); err != nil {
				return err
			}
		}
		home.Team = who.Team
		change(&home)
		return tx.LookAtHome(home)
	})
}

// unended returns the action if there is still something to tell of it, else 0.
func unended(tx *storage.Tx, id int64) (int64, error) {
	if id == 0 {
		return 0, nil
	}
	a, err := tx.Action(id)
	if err == nil && (a.Open() || a.State == kovra.ActionWaits) {
		return id, nil
	}
	return 0, orMissing(err)
}

// homeButtons do something else in App Home than in a message: they turn it to something.
var homeButtons = map[string]click{
	ActionHomeApp:     (*Handler).clickHomeApp,
	ActionHomeTab:     (*Handler).clickHomeTab,
	ActionList:        clickHomePage(kovra.HomePipelines),
	ActionOlder:       clickHomePage(kovra.HomePipelines),
	ActionNewer:       clickHomePage(kovra.HomePipelines),
	ActionBuilds:      clickHomePage(kovra.HomeBuilds),
	ActionOlderBuilds: clickHomePage(kovra.HomeBuilds),
	ActionNewerBuilds: clickHomePage(kovra.HomeBuilds),
	ActionJobs:        readAtHome((*Handler).clickJobs),
	ActionJobsPage:    readAtHome((*Handler).clickJobs),
	ActionSettings:    readAtHome((*Handler).clickSettings),
}

// homeButton returns what a button does in App Home.
func homeButton(name string) (click, bool) {
	do, ok := homeButtons[name]
	if !ok {
		do, ok = buttons[name]
	}
	return do, ok
}

// clickHomeApp chooses an app, or, with "", none.
func (h *Handler) clickHomeApp(ctx context.Context, ask asker, app string) (Answer, error) {
	if app != "" && kovra.CheckAppName(app) != nil {
		return Answer{}, kovra.Errorf(kovra.Invalid, saysOldButton)
	}
	return Answer{}, h.turnHome(ctx, ask.person, func(home *kovra.Home) {
		home.App, home.Ref, home.Before, home.After = app, "", 0, 0
	})
}

// clickHomeTab shows the pipelines or the builds.
func (h *Handler) clickHomeTab(ctx context.Context, ask asker, tab string) (Answer, error) {
	if t := kovra.HomeTab(tab); t != kovra.HomePipelines && t != kovra.HomeBuilds {
		return Answer{}, kovra.Errorf(kovra.Invalid, saysOldButton)
	}
	return Answer{}, h.turnHome(ctx, ask.person, func(home *kovra.Home) {
		home.Tab, home.Ref, home.Before, home.After = kovra.HomeTab(tab), "", 0, 0
	})
}

// clickHomePage turns to a page of a list. Whether the person may see it is asked when it is shown.
func clickHomePage(tab kovra.HomeTab) click {
	return func(h *Handler, ctx context.Context, ask asker, value string) (Answer, error) {
		at, err := ParsePlace(value)
		if err == nil {
			err = kovra.CheckAppName(at.App)
		}
		if err != nil {
			return Answer{}, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: err}
		}
		return Answer{}, h.turnHome(ctx, ask.person, func(home *kovra.Home) {
			home.App, home.Tab, home.Ref, home.Before, home.After = at.App, tab, at.Ref, at.Before, at.After
		})
	}
}

// readAtHome shows what there is to read in a modal: App Home has no other place for it.
func readAtHome(read click) click {
	return func(h *Handler, ctx context.Context, ask asker, value string) (Answer, error) {
		a, err := read(h, ctx, ask, value)
		if err != nil || a.isEmpty() {
			return Answer{}, err
		}
		return Answer{}, h.showAtHome(ctx, ask, a)
	}
}

// showAtHome shows in a modal what App Home has no other place for, as the way to GitLab for somebody who must connect first.
func (h *Handler) showAtHome(ctx context.Context, ask asker, a Answer) error {
	return h.open(ctx, ask, resultView(a, ask.form("")))
}

// noteAction has App Home tell what becomes of an action that was asked for there. What was clicked in App Home itself
// is told nowhere else.
func (a asker) noteAction(tx *storage.Tx, act kovra.Action, mine bool) error {
	if !a.home {
		return nil
	}
	home, err := tx.HomeOf(a.person.ID)
	if err != nil {
		return err
	}
	home.Team, home.Action, home.Notice = a.person.Team, act.ID, ""
	if mine && a.atHome() {
		if _, err := tx.ClaimAnswer(act.ID); err != nil {
			return err
		}
	}
	return tx.LookAtHome(home)
}

// leaveToHome leaves the answer of a form that was opened in App Home to it.
func (h *Handler) leaveToHome(ctx context.Context, a kovra.Action, mine bool) error {
	if !mine {
		return nil
	}
	return h.DB.Update(ctx, func(tx *storage.Tx) error {
		_, err := tx.ClaimAnswer(a.ID)
		return err
	})
}

// noteAtHome has App Home tell why something could not even begin.
func (h *Handler) noteAtHome(ctx context.Context, ask asker, a Answer) error {
	err := h.DB.Update(ctx, func(tx *storage.Tx) error {
		home, err := tx.HomeOf(ask.person.ID)
		if err != nil {
			return err
		}
		home.Team, home.Action, home.Notice = ask.person.Team, 0, wordsOf(a)
		return tx.LookAtHome(home)
	})
	if err != nil {
		return fmt.Errorf("note in app home: %w", err)
	}
	return nil
}

// wordsOf is what an answer says, without its buttons: App Home has them all.
func wordsOf(a Answer) string {
	var lines []string
	for _, b := range a.Blocks {
		switch b := b.(type) {
		case *slack.SectionBlock:
			lines = append(lines, b.Text.Text)
		case *slack.ContextBlock:
			for _, e := range b.ContextElements.Elements {
				if t, ok := e.(*slack.TextBlockObject); ok {
					lines = append(lines, t.Text)
				}
			}
		}
	}
	return strings.Join(lines, "\n")
}

// suggestApps searches the apps that somebody may see.
func (h *Handler) suggestApps(ctx context.Context, ask asker, query string) ([]optionGroup, error) {
	s, err := h.look(ctx, ask, strings.ToLower(query))
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(s.names(), func(name string) bool { return !strings.Contains(name, strings.ToLower(query)) })
	return []optionGroup{named(labelApps, names)}, nil
}
