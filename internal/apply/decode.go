package apply

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"kovra.dev/chatops/bot"
	"kovra.dev/chatops/internal/kovra"
)

// Bounds of a file: far above what teams have, and low enough that a mistake in a generator is noticed.
const (
	MaxFile     = 4 << 20 // bytes
	maxApps     = 2000
	maxChannels = 100 // of one app
	maxFilters  = 20  // of one channel
)

const sample = "a mapping with apps, as `kovra export` writes it"

// Decode reads a file strictly: a key that is not known, a value of the wrong kind or anything that makes no sense is a
// problem, and all of them are told at once, as [FileError].
func Decode(file string, text []byte) (*Document, error) {
	d := &decoder{doc: Document{File: file}, names: map[string]int{}}
	top, err := oneDocument(text)
	switch {
	case err != nil:
		d.add(0, "%s; expected: %s", strings.TrimPrefix(err.Error(), "yaml: "), sample)
	case top == nil || isNull(top):
		d.add(0, "there is nothing in it; expected: %s", sample)
	default:
		d.document(top)
	}
	if err := d.of(file); err != nil {
		return nil, err
	}
	slices.SortFunc(d.doc.Apps, func(a, b App) int { return strings.Compare(a.Name, b.Name) })
	return &d.doc, nil
}

// oneDocument returns the one value of a YAML text; nil: there is none.
func oneDocument(text []byte) (*yaml.Node, error) {
	if len(text) > MaxFile {
		return nil, errors.New("it is larger than 4 MiB")
	}
	var doc yaml.Node
	from := yaml.NewDecoder(bytes.NewReader(text))
	switch err := from.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil //nolint:nilnil // nothing is no mistake here
	case err != nil:
		return nil, err
	}
	if err := from.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the first document")
	}
	return doc.Content[0], nil
}

// decoder is a file while it is read.
type decoder struct {
	problems
	doc   Document
	names map[string]int
}

// field is a key of a mapping and what takes its value.
type field struct {
	key  string
	take func(*yaml.Node)
}

// entries gives each key of a mapping, once, and its value, as if it were written in the line of its key. Anchors stand for
// what they name.
func (d *decoder) entries(node *yaml.Node, what string, each func(key, value *yaml.Node)) {
	node = follow(node)
	if node.Kind != yaml.MappingNode {
		d.add(node.Line, "%s is no mapping of keys to values", what)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := follow(node.Content[i]), follow(node.Content[i+1])
		first, twice := seen[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.add(key.Line, "a key of %s is no plain text", what)
		case twice:
			d.add(node.Content[i].Line, "%q is there twice in %s, first in line %d", key.Value, what, first)
		default:
			seen[key.Value] = node.Content[i].Line
			each(at(key, node.Content[i]), at(value, node.Content[i]))
		}
	}
}

// fields reads a mapping of which all keys are known.
func (d *decoder) fields(node *yaml.Node, what string, known []field) {
	d.entries(node, what, func(key, value *yaml.Node) {
		i := slices.IndexFunc(known, func(f field) bool { return f.key == key.Value })
		if i < 0 {
			names := make([]string, len(known))
			for n, f := range known {
				names[n] = f.key
			}
			d.add(key.Line, "%q is no key of %s; expected: one of %s", key.Value, what, strings.Join(names, ", "))
			return
		}
		known[i].take(value)
	})
}

// follow returns what an alias names.
func follow(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// at returns a node as if it were written where the other one is: problems are told where something is used.
func at(node, where *yaml.Node) *yaml.Node {
	if node == where {
		return node
	}
	moved := *node
	moved.Line = where.Line
	return &moved
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// text reads a plain value as it is written.
func (d *decoder) text(node *yaml.Node, what string) (string, bool) {
	if node.Kind != yaml.ScalarNode || isNull(node) {
		d.add(node.Line, "%s has no plain value", what)
		return "", false
	}
	return node.Value, true
}

// truth reads true or false.
func (d *decoder) truth(node *yaml.Node, what string) bool {
	var v bool
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!bool" || node.Decode(&v) != nil {
		d.add(node.Line, "%s is %q; expected: true or false", what, node.Value)
	}
	return v
}

// list reads a list of plain values, or a single one.
func (d *decoder) list(node *yaml.Node, what string) (values []string) {
	if node.Kind != yaml.SequenceNode {
		if v, ok := d.text(node, what); ok {
			values = append(values, v)
		}
		return values
	}
	for _, item := range node.Content {
		if v, ok := d.text(at(follow(item), item), "an entry of "+what); ok {
			values = append(values, v)
		}
	}
	return values
}

func (d *decoder) document(top *yaml.Node) {
	apps := false
	d.fields(top, "the file", []field{
		{"prune", func(v *yaml.Node) { d.doc.Prune = d.truth(v, "prune") }},
		{"apps", func(v *yaml.Node) { apps = true; d.apps(v) }},
	})
	if !apps && len(d.all) == 0 {
		d.add(top.Line, "it has no apps; expected: %s", sample)
	}
}

func (d *decoder) apps(node *yaml.Node) {
	d.entries(node, "apps", func(key, value *yaml.Node) {
		if err := kovra.CheckAppName(key.Value); err != nil {
			d.add(key.Line, "%s", kovra.PublicText(err))
			return
		}
		if len(d.doc.Apps) == maxApps {
			d.add(key.Line, "there are more than %d apps", maxApps)
		}
		d.doc.Apps = append(d.doc.Apps, d.app(key, value))
	})
}

func (d *decoder) app(key, node *yaml.Node) App {
	a := App{Name: key.Value, Line: key.Line}
	if isNull(node) {
		return a
	}
	d.fields(node, "the app "+a.Name, []field{
		{"project", func(v *yaml.Node) { a.Project, a.projectLine = d.project(v), v.Line }},
		{"channels", func(v *yaml.Node) { a.Channels = d.channels(v, a.Name) }},
		{"builds", func(v *yaml.Node) { a.Builds = d.builds(v, a.Name) }},
	})
	return a
}

func (d *decoder) project(node *yaml.Node) string {
	word, ok := d.text(node, "project")
	if !ok {
		return ""
	}
	if _, _, ok := bot.ParseProject(word); !ok {
		d.add(node.Line, "%q is no GitLab project; expected: its path, as in group/web, its id or its address", word)
	}
	return word
}

func (d *decoder) channels(node *yaml.Node, app string) (all []Channel) {
	if isNull(node) {
		d.add(node.Line, "channels of %s is empty; a name with # in front needs quotes, or YAML takes it for a comment", app)
		return nil
	}
	d.entries(node, "channels of "+app, func(key, value *yaml.Node) {
		c := Channel{Name: key.Value, Line: key.Line}
		switch kind, _ := kovra.KindOfWho(c.Name); {
		case kind == kovra.WhoChannel:
		case isChannelName(c.Name):
			c.Name = "#" + strings.TrimPrefix(c.Name, "#")
		default:
			d.add(key.Line, "%q is no channel; expected: its name, as in \"#deploys\", or its id, as in C024BE7LR", c.Name)
			return
		}
		c.Filters = d.filters(value, app+" in "+c.Name)
		all = append(all, c)
		if len(all) == maxChannels+1 {
			d.add(key.Line, "%s has more than %d channels", app, maxChannels)
		}
	})
	return all
}

// isChannelName reports whether Slack could have a channel of that name: it has no capital letters, blanks and full stops.
func isChannelName(name string) bool {
	name = strings.TrimPrefix(name, "#")
	return name != "" && len(name) <= 4*80 && strings.ToLower(name) == name && !strings.ContainsAny(name, " \t\r\n.,;:#@/\\\"'`<>&")
}

// filters reads what a channel shall hear, in the words of `/kovra subscribe`; nothing stands for the usual.
func (d *decoder) filters(node *yaml.Node, where string) (all []kovra.Filter) {
	if isNull(node) {
		return []kovra.Filter{kovra.Filter{}.Normal()}
	}
	before := len(d.all)
	words := d.list(node, where)
	if len(words) == 0 && len(d.all) == before {
		d.add(node.Line, "%s hears nothing; expected: words as in `pipelines only:failures`, or the channel left out", where)
	}
	if len(words) > maxFilters {
		d.add(node.Line, "%s has more than %d subscriptions", where, maxFilters)
	}
	for i, one := range words {
		line := node.Line
		if node.Kind == yaml.SequenceNode && len(words) == len(node.Content) {
			line = max(line, node.Content[i].Line) // what an anchor names is written above its use
		}
		f, err := bot.ParseFilter(one)
		f = f.Normal()
		switch {
		case err != nil:
			d.add(line, "%s: %s", where, kovra.PublicText(err))
		case slices.ContainsFunc(all, func(o kovra.Filter) bool { return o.Key() == f.Key() }):
			d.add(line, "%s: %q selects the same as another subscription of it", where, one)
		default:
			all = append(all, f)
		}
	}
	return all
}
