package bot

import (
	"fmt"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// Sentences about subscriptions.
const (
	saysBadFilter      = "I do not understand %q. Write for example ref:main, ref:release/*, source:push, by:alice or by:!bots."
	saysNearFilter     = "I do not understand %q. Did you mean %s? Example: /kovra subscribe web pipelines ref:main only:failures"
	saysBadOnly        = "%q is not known. Write only:failures or only:changes."
	saysTwoOnly        = "only:failures and only:changes exclude each other. Give one, or make two subscriptions."
	saysOnlyOfWhat     = "%s is about pipelines, builds and deployments, and none of them is asked for."
	saysSourceOfWhat   = "source: is about pipelines, and they are not asked for."
	saysLongFilter     = "That is too much for one subscription. Make several of it."
	saysNoSubscription = "This channel has no subscription #%d. All of them: /kovra subscriptions"
	saysSomethingElse  = "Choose at least one thing to hear of."
	saysRefsHint       = "Branches or tags, separated by commas; * is any text, ! leaves out. Empty: all of them."
	saysByHint         = "GitLab user names, separated by commas. bots means all bots; ! leaves out, as in !bots. Empty: everybody."
	saysQuietHint      = "Cards only, without replies in their threads"
	saysComments       = "Comments `/kovra retry`, `cancel` and `build` in merge requests work now, too."
)

// labelChoose is the button that opens the form of a subscription.
const labelChoose = "Choose what to hear"

// topicLabels name the topics in the form, topicNames inside a sentence.
var (
	topicLabels = map[kovra.Topic]string{
		kovra.TopicPipelines: "Pipelines", kovra.TopicBuilds: "Builds", kovra.TopicMergeRequests: "Merge requests", kovra.TopicTags: "Tags",
		kovra.TopicDeployments: "Deployments", kovra.TopicReleases: "Releases", kovra.TopicPushes: "Pushes",
	}
	topicNames = func() map[kovra.Topic]string {
		names := map[kovra.Topic]string{}
		for t, l := range topicLabels {
			names[t] = strings.ToLower(l)
		}
		return names
	}()
)

// selects says what a subscription selects, in a sentence: "pipelines and builds of `main`, only failures".
func selects(f kovra.Filter) string {
	f = f.Normal()
	var topics []string
	for _, t := range kovra.Topics() {
		if f.Tells(t) {
			topics = append(topics, topicNames[t])
		}
	}
	text := and(topics)
	if refs := choice(f.Refs, func(r string) string { return code(r, maxRef) }); refs != "" {
		text += " of " + refs
	}
	if len(f.Sources) > 0 {
		text += " from " + prose(strings.Join(f.Sources, ", "), maxTitle)
	}
	if by := choice(f.By, func(u string) string { return prose(u, maxName) }); by != "" {
		text += " by " + by
	}
	switch f.Only {
	case kovra.OnlyFailures:
		text += ", once they fail"
	case kovra.OnlyChanges:
		text += ", once they are newly broken or fixed"
	}
	if f.Quiet {
		text += ", without replies"
	}
	return text
}

// choice names what is wanted and what is left out; "" for everything.
func choice(list []string, name func(string) string) string {
	var in, out []string
	for _, v := range list {
		if left, ok := strings.CutPrefix(v, "!"); ok {
			out = append(out, name(left))
		} else {
			in = append(in, name(v))
		}
	}
	switch {
	case len(in) == 0 && len(out) == 0:
		return ""
	case len(out) == 0:
		return listed(in, maxChannel)
	case len(in) == 0:
		return "all but " + listed(out, maxChannel)
	default:
		return listed(in, maxChannel) + " but not " + listed(out, maxChannel)
	}
}

// and joins the parts of an enumeration.
func and(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// newsWords says what is told in the channel itself; "" where nothing can be.
func newsWords(f kovra.Filter) string {
	if f.Quiet || !f.Has(kovra.TopicPipelines) && !f.Has(kovra.TopicBuilds) {
		return ""
	}
	return broadcastWords(f.Broadcast)
}

// subscriptionWords is one subscription on one line.
func subscriptionWords(s kovra.Subscription) string {
	paused := ""
	if s.Paused != "" {
		paused = "⏸️ paused: " + prose(s.Paused, maxName*2)
	}
	return dots(fmt.Sprintf("#%d", s.ID), selects(s.Filter), newsWords(s.Filter), paused)
}
