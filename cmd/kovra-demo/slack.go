package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/slacksim"
)

// shortcut is the callback id of the app's entry in the menu of a message.
const shortcut = "thread_actions"

// slackRoutes is what a person can do in the simulated Slack.
func (w *world) slackRoutes(mux *http.ServeMux) {
	post(mux, "/api/say", w.typeText)
	post(mux, "/api/click", w.click)
	post(mux, "/api/options", w.options)
	post(mux, "/api/choose", w.choose)
	post(mux, "/api/submit", w.submit)
	post(mux, "/api/close", w.closeView)
	post(mux, "/api/join", w.join)
	post(mux, "/api/home", w.openHome)
	post(mux, "/api/shortcut", w.shortcut)
}

// openHome opens the app's Home tab. What the app publishes then is in the next snapshot.
func (w *world) openHome(ctx context.Context, in place) (any, error) {
	if !w.hasApp(in.User) {
		return nil, fmt.Errorf("the app, for %s: %w", in.User, slacksim.ErrNotThere)
	}
	return shown{}, w.slack.OpenHome(ctx, in.User)
}

// hasApp says whether the app is installed where that person works. People of other
// organisations meet it in shared channels only.
func (w *world) hasApp(user string) bool {
	me := w.slack.Snapshot(user).Me
	return me.ID != "" && !me.IsBot && me.TeamID == slacksim.TeamID
}

// shortcut uses the app's entry in the menu of a message.
func (w *world) shortcut(ctx context.Context, in place) (any, error) {
	return shownOf(w.slack.MessageShortcut(ctx, in.User, in.ref(), shortcut))
}

// drawn finds the elements of a view that a person has before them: a modal, or the Home tab.
func (w *world) drawn(user, id string) ([]slacksim.Block, error) {
	views := w.slack.Views(user)
	if home, published := w.slack.HomeView(user); published {
		views = append(views, home)
	}
	i := slices.IndexFunc(views, func(v slacksim.View) bool { return v.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("view %s: %w", id, slacksim.ErrNotThere)
	}
	return views[i].Tree, nil
}

// talk posts a message. The app hears of those that mention it, where it is a member; in a
// conversation with it alone Slack tells it of none.
func (w *world) talk(ctx context.Context, in said, line string) (any, error) {
	c, _ := w.slack.Channel(in.Channel)
	if !slices.Contains(c.Members, in.User) {
		return shown{Error: "not_in_channel"}, nil
	}
	text := w.written(line)
	mentioned := strings.Contains(text, "<@"+slacksim.BotUserID+">") && !c.Direct
	if mentioned && slices.Contains(c.Members, slacksim.BotUserID) {
		return shown{}, w.slack.Mention(ctx, in.User, in.Channel, in.Thread, text)
	}
	if _, err := w.slack.Say(in.User, in.Channel, in.Thread, text); err != nil || !mentioned {
		return shown{}, err
	}
	return shown{Notice: "bot_not_in_channel"}, nil
}
