package bot

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"kovra.dev/chatops/internal/kovra"
)

// Beginnings of the words that select what a channel hears.
const (
	refPrefix    = "ref:"
	sourcePrefix = "source:"
	byPrefix     = "by:"
	onlyPrefix   = "only:"
	quietWord    = "quiet"
)

// A filter must fit into the fields of its form, and its sources into a list to choose from.
const (
	maxFilter  = 2000 // characters, as one types it
	maxSources = 50
)

// topicWords are further words for topics. None of them can be the name of an app.
var topicWords = map[string]kovra.Topic{
	"merge-requests": kovra.TopicMergeRequests, "merge-request": kovra.TopicMergeRequests, "merge_request": kovra.TopicMergeRequests,
	"mergerequests": kovra.TopicMergeRequests, "mr": kovra.TopicMergeRequests, "mrs": kovra.TopicMergeRequests,
	"pipeline": kovra.TopicPipelines, "build": kovra.TopicBuilds,
}

var (
	sourceWord = regexp.MustCompile(`^[a-z][a-z_]{0,59}$`)
	byName     = regexp.MustCompile(`^!?[A-Za-z0-9_.][A-Za-z0-9_.-]*$`)
)

// takeFilter takes a word that selects what a channel hears. It reports false for any other word.
func (c Command) takeFilter(w string) (Command, bool, error) {
	low := strings.ToLower(w)
	if t, ok := topicOf(low); ok {
		c.Filter.Topics = append(slices.Clone(c.Filter.Topics), t)
		return c, true, nil
	}
	if low == quietWord {
		c.Filter.Quiet = true
		return c, true, nil
	}
	prefix, _, pair := strings.Cut(low, ":")
	if !pair {
		return c, false, nil
	}
	prefix += ":"
	value := w[len(prefix):]
	var err error
	switch prefix {
	case broadcastPrefix:
		err = c.takeBroadcast(w)
	case onlyPrefix:
		err = c.takeOnly(w, strings.ToLower(value))
	case refPrefix:
		c.Filter.Refs, err = takeList(c.Filter.Refs, w, value, func(v string) bool { return strings.Trim(v, "!") != "" })
	case sourcePrefix:
		c.Filter.Sources, err = takeList(c.Filter.Sources, w, strings.ToLower(value), sourceWord.MatchString)
	case byPrefix:
		c.Filter.By, err = takeList(c.Filter.By, w, strings.ReplaceAll(value, "@", ""), byName.MatchString)
	default:
		if _, near := nearest(prefix, filterPrefixes); near {
			return c, true, kovra.Errorf(kovra.Invalid, saysNearFilter, w, nearFilter(prefix))
		}
		return c, false, nil
	}
	return c, true, err
}

var filterPrefixes = []string{refPrefix, sourcePrefix, byPrefix, onlyPrefix, broadcastPrefix}

// topicOf returns the topic that a word means.
func topicOf(word string) (kovra.Topic, bool) {
	if t := kovra.Topic(word); slices.Contains(kovra.Topics(), t) {
		return t, true
	}
	t, ok := topicWords[word]
	return t, ok
}

func (c *Command) takeBroadcast(w string) error {
	b := kovra.Broadcast(strings.ToLower(w[len(broadcastPrefix):]))
	if b != kovra.BroadcastOn && b != kovra.BroadcastOff && b != kovra.BroadcastAll {
		return kovra.Errorf(kovra.Invalid, saysBadBroadcast, w)
	}
	c.Filter.Broadcast = b
	return nil
}

func (c *Command) takeOnly(w, value string) error {
	only := kovra.Only(value)
	if only != kovra.OnlyFailures && only != kovra.OnlyChanges {
		return kovra.Errorf(kovra.Invalid, saysBadOnly, w)
	}
	if c.Filter.Only != "" && c.Filter.Only != only {
		return kovra.Errorf(kovra.Invalid, saysTwoOnly)
	}
	c.Filter.Only = only
	return nil
}

// takeList adds the values of a word, which are separated by commas.
func takeList(list []string, w, values string, good func(string) bool) ([]string, error) {
	list = slices.Clone(list)
	for v := range strings.SplitSeq(values, ",") {
		if !good(v) {
			return list, kovra.Errorf(kovra.Invalid, saysBadFilter, w)
		}
		list = append(list, v)
	}
	return list, nil
}

// tidyFilter brings the filter into the form that its words give back.
func (c Command) tidyFilter() (Command, error) {
	said := c.Filter.Broadcast
	c.Filter = c.Filter.Normal()
	c.Filter.Broadcast = said
	f := c.Filter
	if len(f.Sources) > maxSources || utf8.RuneCountInString(f.String()) > maxFilter {
		return c, kovra.Errorf(kovra.Invalid, saysLongFilter)
	}
	if len(f.Sources) > 0 && !f.Has(kovra.TopicPipelines) {
		return c, kovra.Errorf(kovra.Invalid, saysSourceOfWhat)
	}
	if f.Only != "" && !f.Has(kovra.TopicPipelines) && !f.Has(kovra.TopicBuilds) && !f.Has(kovra.TopicDeployments) {
		return c, kovra.Errorf(kovra.Invalid, saysOnlyOfWhat, onlyPrefix+string(f.Only))
	}
	return c, nil
}

// filterWords are the words of a filter as one types them.
func filterWords(f kovra.Filter) []string {
	var words []string
	for _, w := range f.Words() {
		words = append(words, quote(w, true))
	}
	if f.Broadcast == kovra.BroadcastOn {
		words = append(words, broadcastPrefix+string(kovra.BroadcastOn))
	}
	return words
}

// nearFilter is the word that was probably meant.
func nearFilter(word string) string {
	var names []string
	for _, t := range kovra.Topics() {
		names = append(names, string(t))
	}
	near, ok := nearest(word, append(append(names, quietWord), filterPrefixes...))
	if !ok {
		return refPrefix + "main"
	}
	return near
}

// ParseFilter understands the words of `/kovra subscribe` after the app, where they stand alone. Errors are as those of [Parse].
func ParseFilter(words string) (kovra.Filter, error) {
	list, err := tokens(quoteStraight.Replace(strings.ToValidUTF8(words, "\uFFFD")))
	if err != nil {
		return kovra.Filter{}, err
	}
	c, err := Command{Group: GroupKovra, Verb: VerbSubscribe}.take(list)
	if err == nil && len(c.Words) > 0 {
		err = kovra.Errorf(kovra.Invalid, saysNearFilter, c.Words[0], nearFilter(c.Words[0]))
	}
	return c.Filter, err
}

// FilterWords writes a filter so that [ParseFilter] gives it back, with its topics named also where they are the usual ones.
func FilterWords(f kovra.Filter) string {
	f = f.Normal()
	var words []string
	if len(f.Topics) == 0 {
		words = append(words, string(kovra.TopicPipelines), string(kovra.TopicBuilds))
	}
	for _, w := range f.Words() {
		words = append(words, quote(w, true))
	}
	return strings.Join(words, " ")
}
