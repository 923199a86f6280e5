package bot

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// Sentences about webhooks and the bot's own token.
const (
	saysHooksQuiet   = "GitLab does not tell me at once what happens in these projects. I still find out by asking, some minutes later."
	saysHooksAgain   = "✅ *All webhooks send again.*"
	saysHooksFine    = "✅ *All webhooks are fine.*"
	saysNoHooks      = "No project is linked yet, so there is no webhook. An administrator links one with: /kovra link web group/web"
	saysHooksNoURL   = "KOVRA_PUBLIC_URL is not set, so I do not know where webhooks should go, and look at none."
	saysHooksByHand  = "*Enable webhooks* sets each right and has GitLab test it, which switches it on. By hand, in GitLab: the project's *Settings* › *Webhooks* › *Edit*, then *Test* › *Push events*."
	saysNoneToEnable = "✅ All webhooks are fine; there is nothing to enable."

	saysEndsSoon    = "🔑 *The bot's GitLab token ends on %s.*"
	saysEndsHow     = "%s stops working as that day begins (UTC), within %s of this message. Then I can ask GitLab nothing and start nothing there."
	saysEndsLater   = "✅ *The bot's GitLab token was renewed.* %s"
	saysNotAccepted = "⛔ *GitLab does not accept the bot's token.*"
	saysMute        = "I can ask GitLab nothing and start nothing there until it is replaced."
	saysAccepted    = "✅ *GitLab accepts the bot's token again.* %s"
	saysRenew       = "In GitLab, make a new one with the scope `api`: as the bot's user under *Preferences* › *Access tokens*, or under *Settings* › *Access tokens* of the group or project that it belongs to. " +
		"Put it where `KOVRA_GITLAB_TOKEN` comes from, and restart me, unless that is a file. *Rotate* in GitLab does the same, but ends the old one at once."

	labelEnableHooks = "Enable webhooks"
)

// hookIcon stands before a webhook in a list.
func hookIcon(h kovra.HookHealth) string {
	switch {
	case h == kovra.HealthFine:
		return "✅"
	case h.Trouble():
		return "⚠️"
	default:
		return "❔"
	}
}

// healthWords says how a webhook is.
func healthWords(s kovra.HookSight) string {
	switch s.Is() {
	case kovra.HealthFine:
		return "fine"
	case kovra.HealthNone:
		return "none known; one of a group may send"
	case kovra.HealthGone:
		return "*deleted* in GitLab, or its address was changed"
	case kovra.HealthResting:
		return joinNonEmpty(" ", []string{"*switched off* by GitLab", prefixed("until ", date(s.Until))}) + ", after failures in a row"
	case kovra.HealthDisabled:
		return "*switched off* by GitLab, after many failures in a row"
	case kovra.HealthRefused:
		return "it sends *another secret* than mine, so I refuse what it sends"
	case kovra.HealthLacking:
		return "*does not send* " + listed(s.Lacks, 10)
	default:
		return "not known"
	}
}

// lastWords says how the last delivery ended, where that tells more.
func lastWords(s kovra.HookSight) string {
	switch status, err := strconv.Atoi(s.Last); {
	case s.Last == "" || s.Is() == kovra.HealthRefused || status/100 == 2:
		return ""
	case s.Last == "401":
		return "its last delivery was answered 401: it sends another secret than mine"
	case err == nil:
		return "its last delivery was answered " + s.Last
	case s.Last == "internal error":
		return "with its last delivery GitLab did not reach me"
	default:
		return "its last delivery: " + prose(s.Last, maxName)
	}
}

// troubleWords counts what is wrong.
func troubleWords(n int) string {
	if n == 1 {
		return "⚠️ *1 webhook does not send as it should.*"
	}
	return fmt.Sprintf("⚠️ *%d webhooks do not send as they should.*", n)
}

// enabledWords says what came of enabling webhooks.
func enabledWords(o kovra.Outcome) string {
	mended := "✅ " + plural(o.Mended, "webhook sends", "webhooks send") + " again."
	if o.Broken == 0 {
		return mended
	}
	broken := "⚠️ " + plural(o.Broken, "webhook", "webhooks") + " could not be enabled; `/kovra hooks` says why."
	if o.Mended == 0 {
		return broken
	}
	return mended + "\n" + broken
}

// tokenName is the bot's token as GitLab's page calls it.
func tokenName(t kovra.TokenSight) string {
	if t.Name == "" {
		return "It"
	}
	return "The token " + code(t.Name, maxName)
}

// tokenLives says how long a token lives.
func tokenLives(t kovra.TokenSight) string {
	switch {
	case t.ID == 0:
		return ""
	case t.Expires.IsZero():
		return tokenName(t) + " does not end by itself."
	default:
		return tokenName(t) + " ends on " + dayWords(t.Expires) + "."
	}
}

// dayWords is a day of GitLab's calendar, which is not the reader's: it is in UTC.
func dayWords(t time.Time) string { return t.UTC().Format("2 January 2006") }

// enablePhrase speaks of the action that enables webhooks.
func enablePhrase(a kovra.Action) phrase {
	return phrase{
		going: "Enabling the webhooks", done: strings.TrimPrefix(enabledWords(a.Outcome), "✅ "), not: "The webhooks were not enabled.",
		already: "The webhooks were already enabled", plain: "Enable the webhooks",
	}
}
