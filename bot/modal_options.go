package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

const (
	searchTimeout = 2 * time.Second
	optionsLive   = 15 * time.Second // how long what GitLab said is offered again
	mostQueries   = 300              // that are remembered
	refsPerGroup  = 40
	knownRuns     = 60 // whose refs are offered while GitLab is down
)

// optionGroup is a heading with the values below it.
type optionGroup struct {
	label   string
	options []*slack.OptionBlockObject
}

// suggest answers a type-ahead field. It never fails: a field that gets no answer
// cannot be filled in.
func (h *Handler) suggest(ctx context.Context, p payload) ([]byte, error) {
	var groups []optionGroup
	ask, app, err := p.formOf()
	query := []rune(clean(p.Value))
	typed := string(query[:min(len(query), maxOptionValue)]) // more could not be chosen
	if ActionName(p.ActionID) == ActionHomeApp {
		groups, err = h.suggestApps(ctx, p.asker(), typed)
	} else if err == nil {
		switch p.ActionID {
		case fieldRef:
			groups, err = h.suggestRefs(ctx, ask, app, typed)
		case fieldProject:
			groups, err = h.suggestProjects(ctx, ask, app, typed)
		}
	}
	if err != nil {
		h.Log.WarnContext(ctx, "nothing to suggest", "field", p.ActionID, "err", err)
	}
	return encodeGroups(groups)
}

func (h *Handler) suggestRefs(ctx context.Context, ask asker, app, query string) ([]optionGroup, error) {
	found, err := h.readableApp(ctx, ask, app)
	if err != nil {
		return nil, err
	}
	var p kovra.Project
	var runs []kovra.Run
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		if _, p, err = linkedApp(tx, found); err != nil {
			return err
		}
		runs, err = tx.Runs(storage.RunQuery{Project: p.ID, Limit: knownRuns})
		return err
	})
	if err != nil {
		return nil, err
	}
	groups, err := h.known.get(fmt.Sprintf("refs/%d/%s", p.ID, query), func() ([]optionGroup, error) {
		bounded, cancel := searchContext(ctx)
		defer cancel()
		branches, tags, err := h.GitLab.Refs(bounded, p.ID, query, refsPerGroup)
		return []optionGroup{named(labelBranches, branches), named(labelTags, tags)}, err
	})
	if err != nil {
		h.Log.WarnContext(ctx, "refs not listed by gitlab", "project", p.ID, "err", err)
		groups = []optionGroup{named(labelDown, refsWithoutGitLab(p, runs, query))}
	}
	return groups, nil
}

// refsWithoutGitLab is what was typed, and what we have seen that is like it.
func refsWithoutGitLab(p kovra.Project, runs []kovra.Run, query string) []string {
	var refs []string
	add := func(ref string) {
		if ref != "" && strings.Contains(strings.ToLower(ref), strings.ToLower(query)) && !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	add(query)
	add(p.DefaultBranch)
	for _, r := range runs {
		if r.Kind() != "merge_request" {
			add(r.Ref)
		}
	}
	return refs
}

// suggestProjects shows what the bot sees in GitLab, so only to those who may link.
func (h *Handler) suggestProjects(ctx context.Context, ask asker, app, query string) ([]optionGroup, error) {
	if err := h.may(ctx, ask, kovra.MayLink, app); err != nil {
		return nil, err
	}
	groups, err := h.known.get("projects/"+ask.person.ID+"/"+query, func() ([]optionGroup, error) {
		bounded, cancel := searchContext(ctx)
		defer cancel()
		projects, err := h.GitLab.SearchProjects(bounded, ask.person, query, maxOptions)
		g := optionGroup{label: "Projects"}
		for _, p := range projects {
			g.options = append(g.options, option(strconv.FormatInt(p.ID, 10), p.Path))
		}
		return []optionGroup{g}, err
	})
	if err == nil {
		return groups, nil
	}
	h.Log.WarnContext(ctx, "projects not listed by gitlab", "err", err)
	path, _, ok := ParseProject(query)
	if !ok || utf8.RuneCountInString(path) > maxOptionValue {
		return []optionGroup{{label: labelDown, options: []*slack.OptionBlockObject{option(noChoice, labelNoSearch)}}}, nil
	}
	return []optionGroup{named(labelDown, []string{path})}, nil
}

// searchContext leaves time to answer when GitLab does not.
func searchContext(ctx context.Context) (context.Context, context.CancelFunc) {
	wait := searchTimeout
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)-reserve/2)
	}
	return context.WithTimeout(ctx, wait)
}

// named makes options whose value is their name; names that Slack cannot carry are left out.
func named(label string, names []string) optionGroup {
	g := optionGroup{label: label}
	for _, n := range names {
		if n != "" && utf8.ValidString(n) && utf8.RuneCountInString(n) <= maxOptionValue {
			g.options = append(g.options, option(n, n))
		}
	}
	return g
}

// encodeGroups is the answer to a type-ahead field. A group without options is left out.
func encodeGroups(groups []optionGroup) ([]byte, error) {
	var out []*slack.OptionGroupBlockObject
	left := maxOptions
	for _, g := range groups {
		n := min(len(g.options), left)
		if n == 0 {
			continue
		}
		left -= n
		out = append(out, slack.NewOptionGroupBlockElement(plainText(g.label), g.options[:n]...))
	}
	var body any = map[string]any{"option_groups": out}
	if len(out) == 0 {
		body = map[string]any{"options": []any{}}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode options: %w", err)
	}
	return raw, nil
}

// optionCache remembers for a short while what GitLab offered: people type faster than
// it answers, and correct themselves.
type optionCache struct {
	now func() time.Time

	mu    sync.Mutex
	known map[string]offered
}

type offered struct {
	at     time.Time
	groups []optionGroup
}

func newOptionCache(now func() time.Time) *optionCache {
	return &optionCache{now: now, known: map[string]offered{}}
}

// get returns what is remembered, else what ask returns; errors are not remembered.
func (c *optionCache) get(key string, ask func() ([]optionGroup, error)) ([]optionGroup, error) {
	c.mu.Lock()
	was, ok := c.known[key]
	c.mu.Unlock()
	if ok && c.now().Sub(was.at) < optionsLive {
		return was.groups, nil
	}
	groups, err := ask()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= mostQueries {
		clear(c.known)
	}
	c.known[key] = offered{at: c.now(), groups: groups}
	return groups, nil
}
