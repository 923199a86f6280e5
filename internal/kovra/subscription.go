package kovra

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Topic is what a subscription is about; the words are those of `/kovra subscribe`.
type Topic string

// Every topic.
const (
	TopicPipelines     Topic = "pipelines"
	TopicBuilds        Topic = "builds"
	TopicMergeRequests Topic = "merge_requests"
	TopicTags          Topic = "tags"
	TopicDeployments   Topic = "deployments" // of GitLab
	TopicReleases      Topic = "releases"
	TopicPushes        Topic = "pushes"
)

// Topics returns every topic in the order in which people read them.
func Topics() []Topic {
	return []Topic{TopicPipelines, TopicBuilds, TopicMergeRequests, TopicTags, TopicDeployments, TopicReleases, TopicPushes}
}

// IsDirect reports whether a conversation of Slack is one of a person with the bot or with one other. One of several people looks like
// a channel; Slack alone knows.
func IsDirect(channel string) bool { return strings.HasPrefix(channel, "D") }

// Broadcast says which news of an app are shown in the channel itself.
type Broadcast string

// The broadcast switch of a subscription.
const (
	BroadcastOn  Broadcast = "on" // default and protected branches and tags
	BroadcastOff Broadcast = "off"
	BroadcastAll Broadcast = "all"
)

// OfRun reports whether news of r go to the channel.
func (b Broadcast) OfRun(r *Run) bool {
	switch b {
	case BroadcastOff:
		return false
	case BroadcastAll:
		return true
	default:
		return r.Protected || r.Tag
	}
}

// OfBuild reports whether news of b go to the channel: those of tags, of the default branch and of the
// branch that the app is built from.
func (b Broadcast) OfBuild(of *Build, p Project, set BuildSettings) bool {
	switch b {
	case BroadcastOff:
		return false
	case BroadcastAll:
		return true
	default:
		return of.Spec.Tag || of.Spec.Branch != "" && (of.Spec.Branch == p.DefaultBranch || of.Spec.Branch == set.Branch)
	}
}

// rank orders the switch by how much it lets through.
func (b Broadcast) rank() int {
	switch b {
	case BroadcastOff:
		return 0
	case BroadcastAll:
		return 2
	default:
		return 1
	}
}

// Only narrows a subscription to what ended in a certain way.
type Only string

// What a subscription may be narrowed to.
const (
	OnlyFailures Only = "failures" // a thread appears when something fails
	OnlyChanges  Only = "changes"  // a thread appears when something is newly broken, or fixed
)

// Bots stands, in Filter.By, for every GitLab user that is a bot.
const Bots = "bots"

// not excludes what follows it, in Filter.By and Filter.Refs.
const not = "!"

// Filter says what of an app a channel wants to hear. Its zero value wants pipelines
// and builds of every ref.
type Filter struct {
	Topics    []Topic   `json:"topics,omitempty"`  // none: pipelines and builds
	Refs      []string  `json:"refs,omitempty"`    // globs, * is any text; !glob excludes; none: every ref
	Sources   []string  `json:"sources,omitempty"` // of pipelines, GitLab's words; none: every source
	By        []string  `json:"by,omitempty"`      // GitLab user names, or [Bots]; !name excludes; none: everybody
	Only      Only      `json:"only,omitempty"`
	Broadcast Broadcast `json:"broadcast,omitempty"` // "" is [BroadcastOn]
	Quiet     bool      `json:"quiet,omitempty"`     // parents without replies
}

// Has reports whether the filter is about a topic.
func (f Filter) Has(t Topic) bool {
	if len(f.Topics) == 0 {
		return t == TopicPipelines || t == TopicBuilds
	}
	return slices.Contains(f.Topics, t)
}

// Tells reports whether a channel can ever hear of a topic: sources are those of pipelines, and what cannot fail is
// not told where only failures or changes are wanted.
func (f Filter) Tells(t Topic) bool {
	fails := t == TopicPipelines || t == TopicBuilds || t == TopicDeployments
	return f.Has(t) && (len(f.Sources) == 0 || t == TopicPipelines) && (f.Only == "" || fails)
}

// Relays reports whether the filter is about more than pipelines and builds.
func (f Filter) Relays() bool {
	return slices.ContainsFunc(f.Topics, func(t Topic) bool { return t != TopicPipelines && t != TopicBuilds })
}

// Normal returns the filter in the one form in which it is kept: sorted, without
// repetitions and without what says nothing.
func (f Filter) Normal() Filter {
	order := Topics()
	topics := slices.DeleteFunc(order, func(t Topic) bool { return !f.Has(t) })
	if slices.Equal(topics, []Topic{TopicPipelines, TopicBuilds}) {
		topics = nil
	}
	f.Topics = topics
	f.Refs, f.Sources, f.By = sortedSet(f.Refs), sortedSet(f.Sources), sortedSet(f.By)
	if f.Broadcast == "" {
		f.Broadcast = BroadcastOn
	}
	return f
}

// Key names what the filter selects, but not how loudly it is told: a channel has one
// subscription for each.
func (f Filter) Key() string {
	f = f.Normal()
	f.Broadcast, f.Quiet = BroadcastOn, false
	return f.String()
}

// String returns the filter as one types it; "" for the one that wants the usual.
func (f Filter) String() string { return strings.Join(f.Words(), " ") }

// Words are the parts of [Filter.String].
func (f Filter) Words() []string {
	f = f.Normal()
	var words []string
	for _, t := range f.Topics {
		words = append(words, string(t))
	}
	for _, list := range []struct {
		prefix string
		values []string
	}{{"ref:", f.Refs}, {"source:", f.Sources}, {"by:", f.By}} {
		for _, v := range list.values {
			words = append(words, list.prefix+v)
		}
	}
	if f.Only != "" {
		words = append(words, "only:"+string(f.Only))
	}
	if f.Broadcast != BroadcastOn {
		words = append(words, "broadcast:"+string(f.Broadcast))
	}
	if f.Quiet {
		words = append(words, "quiet")
	}
	return words
}

func sortedSet(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	list = slices.Sorted(slices.Values(list))
	return slices.Compact(list)
}

// wantsRef reports whether a branch or tag is selected.
func (f Filter) wantsRef(ref string) bool {
	return selected(f.Refs, func(pattern string) bool { return matchGlob(pattern, ref) })
}

// wantsBy reports whether what u did is selected. Of somebody unknown it is not told,
// where only certain people are wanted.
func (f Filter) wantsBy(u GitLabUser) bool {
	return selected(f.By, func(name string) bool {
		if name == Bots {
			return u.Bot()
		}
		return strings.EqualFold(name, u.Username)
	})
}

// selected judges a list of patterns: none that excludes matches, and one of the others
// does, if there are others.
func selected(patterns []string, match func(string) bool) bool {
	wanted, some := false, false
	for _, p := range patterns {
		if excluded, ok := strings.CutPrefix(p, not); ok {
			if match(excluded) {
				return false
			}
			continue
		}
		some = true
		wanted = wanted || match(p)
	}
	return wanted || !some
}

// matchGlob reports whether all of s matches a pattern in which * is any text, slashes
// included, and ? one character. It takes at most len(pattern) times len(s) steps.
func matchGlob(pattern, s string) bool {
	p, t := []rune(pattern), []rune(s)
	star, back := -1, 0
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, back = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i, j = i+1, j+1
		case star >= 0:
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// Subscription is what a channel wants to hear of an app. A channel may have several of one app.
type Subscription struct {
	ID      int64
	App     string
	Channel string
	Filter  Filter
	// Floor is the highest pipeline id that existed when the channel subscribed:
	// older ones are listed but get no thread.
	Floor     int64
	Paused    string // why nothing is posted; "": all is well
	CreatedBy string
	CreatedAt time.Time
}

// Wants reports whether the run gets a thread in the subscribed channel.
func (s Subscription) Wants(r *Run) bool {
	f := s.Filter
	return s.Paused == "" && r.Remote > s.Floor && !r.Child() && f.Has(TopicPipelines) &&
		f.wantsRef(r.Ref) && (len(f.Sources) == 0 || slices.Contains(f.Sources, r.Source)) && f.wantsBy(r.By) && f.wantsEnd(r)
}

// wantsEnd judges a run by how it ended, if that matters.
func (f Filter) wantsEnd(r *Run) bool {
	switch f.Only {
	case OnlyFailures:
		return r.Status == Failed || slices.ContainsFunc(r.Results, func(n Result) bool { return n.Status == Failed })
	case OnlyChanges:
		return slices.ContainsFunc(r.Results, func(n Result) bool { return n.News != NoNews })
	default:
		return true
	}
}

// WantsBuild reports whether the build gets a thread in the subscribed channel.
func (s Subscription) WantsBuild(b *Build) bool {
	f := s.Filter
	if s.Paused != "" || b.App != s.App || b.CreatedAt.Before(s.CreatedAt) || !f.Has(TopicBuilds) || len(f.Sources) > 0 {
		return false
	}
	if !f.wantsRef(b.Spec.Branch) || !f.wantsBy(GitLabUser{Username: cmp.Or(b.Pusher.Username, b.Author.Username)}) {
		return false
	}
	switch f.Only {
	case OnlyFailures:
		return b.Status == BuildFailed
	case OnlyChanges:
		return b.News != NoNews
	default:
		return true
	}
}

// WantsSubject reports whether a relayed event gets a message in the subscribed channel.
// What had its last turn before the channel subscribed is left alone.
func (s Subscription) WantsSubject(e *Subject) bool {
	f := s.Filter
	return s.Paused == "" && f.Has(e.Kind.Topic()) && !e.MovedAt.Before(s.CreatedAt.Truncate(time.Second)) && !e.Draft &&
		f.wantsRef(e.Ref) && f.wantsBy(e.By) && len(f.Sources) == 0 && (f.Only == "" || e.Failed())
}

// Wish is what a channel wants of one thing, all its subscriptions taken together.
type Wish struct {
	Channel   string
	App       string // of the first subscription that wants it
	Broadcast Broadcast
	Quiet     bool
}

// Wishes puts together what channels want of one thing; subs are sorted by app, and wants
// says which of them want it. The loudest wins.
func Wishes(subs []Subscription, wants func(Subscription) bool) []Wish {
	var out []Wish
	for _, s := range subs {
		if !wants(s) {
			continue
		}
		b := s.Filter.Normal().Broadcast
		i := slices.IndexFunc(out, func(w Wish) bool { return w.Channel == s.Channel })
		if i < 0 {
			out = append(out, Wish{Channel: s.Channel, App: s.App, Broadcast: b, Quiet: s.Filter.Quiet})
			continue
		}
		w := &out[i]
		w.Quiet = w.Quiet && s.Filter.Quiet
		if b.rank() > w.Broadcast.rank() {
			w.Broadcast = b
		}
	}
	return out
}
