package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"go.yaml.in/yaml/v3"
)

// Bounds of a team's own patterns.
const (
	maxPatterns   = 200
	usualWeight   = 90
	maxWeight     = 100
	maxBefore     = 5
	maxAfter      = 10
	shortestPart  = 3 // bytes; shorter texts stand in nearly every line and spare no work
	longestExpr   = 4096
	shownOfAName  = 60
	patternSample = "a list of patterns, each with at least a name and an expr"
)

// LogPattern is a team's own knowledge of what an error in a log looks like, or of
// what looks like one and is none.
type LogPattern struct {
	Name string // unique, not empty
	// Expr is a regular expression in RE2's syntax that compiles and that an empty line does not fit.
	Expr string
	// Contains, if not empty: a line without one of these texts cannot match. Each has
	// at least three bytes.
	Contains []string
	// Quiet: what matches is no error.
	Quiet bool
	// Weight is 1 to 100; the heavier of two matches is shown.
	Weight int
	// Before and After are how many lines around the match belong to it, 0 to 5 and 0 to 10.
	Before, After int
}

// setLogPatterns reads the file of patterns. Its error joins all that is wrong with it.
func setLogPatterns(c *Config, path string) error {
	if err := checkText(path); err != nil {
		return err
	}
	text, err := readBounded(path)
	if err != nil {
		return fmt.Errorf("%w; expected: a readable YAML file with %s", err, patternSample)
	}
	list, err := readPatterns(path, text)
	if err != nil {
		return err
	}
	c.LogPatternsFile, c.LogPatterns = path, list
	return nil
}

// patternFile is a file of patterns while it is read.
type patternFile struct {
	path     string
	list     []LogPattern
	lines    map[string]int // where each name was given first
	problems []error
}

func readPatterns(path string, text []byte) ([]LogPattern, error) {
	top, err := oneDocument(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w; expected: %s", path, err, patternSample)
	case top == nil:
		return nil, nil
	case top.Kind != yaml.SequenceNode:
		return nil, fmt.Errorf("%s, line %d: it is no list; expected: %s", path, top.Line, patternSample)
	case len(top.Content) > maxPatterns:
		return nil, fmt.Errorf("%s: it holds %d patterns; expected: at most %d", path, len(top.Content), maxPatterns)
	}
	f := &patternFile{path: path, lines: map[string]int{}}
	for i, node := range top.Content {
		f.read(i, node)
	}
	return f.list, errors.Join(f.problems...)
}

// oneDocument gives the top of the only document in text, nil if there is nothing in it.
func oneDocument(text []byte) (*yaml.Node, error) {
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil //nolint:nilnil // an empty file is no mistake
	case err != nil:
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the first document")
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.ShortTag() == "!!null" {
		return nil, nil //nolint:nilnil // as above
	}
	return top, nil
}

// entry is one pattern while it is read.
type entry struct {
	LogPattern
	file *patternFile
	who  string // "pattern 3", or its name
	line int
	seen map[string]bool
}

// patternKeys are the keys of a pattern, in the order in which they are explained.
var patternKeys = []string{"name", "expr", "contains", "quiet", "weight", "before", "after"}

// problem notes what is wrong at a line of the file.
func (e *entry) problem(line int, format string, args ...any) {
	e.file.problems = append(e.file.problems, fmt.Errorf("%s, line %d, %s: %s", e.file.path, line, e.who, fmt.Sprintf(format, args...)))
}

// read takes one pattern of the list, and whatever is wrong with it.
func (f *patternFile) read(i int, node *yaml.Node) {
	e := &entry{
		LogPattern: LogPattern{Weight: usualWeight}, file: f, who: fmt.Sprintf("pattern %d", i+1), line: node.Line, seen: map[string]bool{},
	}
	if node.Kind != yaml.MappingNode {
		e.problem(node.Line, "it is no mapping; expected: name, expr and further keys")
		return
	}
	for k := 0; k+1 < len(node.Content); k += 2 { // the name first, since all else is told with it
		if key, value := node.Content[k], node.Content[k+1]; key.Value == "name" && value.Kind == yaml.ScalarNode && value.Value != "" {
			e.who = fmt.Sprintf("pattern %q", shortened(value.Value))
			break
		}
	}
	for k := 0; k+1 < len(node.Content); k += 2 {
		e.key(node.Content[k], node.Content[k+1])
	}
	for _, name := range patternKeys[:2] {
		if !e.seen[name] {
			e.problem(e.line, "it has no %s; expected: one", name)
		}
	}
	if e.Quiet && (e.seen["before"] || e.seen["after"]) {
		e.problem(e.line, "it is quiet and has before or after; expected: without, since what is quiet is not shown")
	}
	f.list = append(f.list, e.LogPattern)
}

func shortened(name string) string {
	if runes := []rune(name); len(runes) > shownOfAName {
		return string(runes[:shownOfAName]) + "…"
	}
	return name
}

// key takes one key of a pattern and its value.
func (e *entry) key(key, value *yaml.Node) {
	if e.seen[key.Value] {
		e.problem(key.Line, "%s is given twice; expected: once", key.Value)
		return
	}
	e.seen[key.Value] = true
	var err error
	switch key.Value {
	case "name":
		err = e.takeName(value)
	case "expr":
		err = e.takeExpr(value)
	case "contains":
		err = e.takeContains(value)
	case "quiet":
		err = takeBool(&e.Quiet, value)
	case "weight":
		err = takeNumber(&e.Weight, value, 1, maxWeight)
	case "before":
		err = takeNumber(&e.Before, value, 0, maxBefore)
	case "after":
		err = takeNumber(&e.After, value, 0, maxAfter)
	default:
		e.problem(key.Line, "%q is no key of a pattern; expected: %s", key.Value, likelyKey(key.Value))
		return
	}
	if err != nil {
		e.problem(value.Line, "%s: %s", key.Value, err)
	}
}

// likelyKey says which key may be meant.
func likelyKey(name string) string {
	for _, k := range patternKeys {
		if levenshtein.ComputeDistance(strings.ToLower(name), k) <= 2 {
			return "perhaps " + k
		}
	}
	return "one of " + strings.Join(patternKeys, ", ")
}

func (e *entry) takeName(node *yaml.Node) error {
	name, err := scalar(node)
	if err != nil {
		return err
	}
	if strings.TrimSpace(name) == "" || checkText(name) != nil {
		return errors.New("it is blank or has line breaks in it; expected: one line of text")
	}
	if first, taken := e.file.lines[name]; taken {
		return fmt.Errorf("line %d has a pattern of that name; expected: names that differ", first)
	}
	e.file.lines[name] = node.Line
	e.Name = name
	return nil
}

func (e *entry) takeExpr(node *yaml.Node) error {
	expr, err := scalar(node)
	if err != nil {
		return err
	}
	if len(expr) > longestExpr {
		return fmt.Errorf("it has %d bytes; expected: at most %d", len(expr), longestExpr)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return fmt.Errorf("%w; expected: a regular expression in RE2's syntax", err)
	}
	if re.MatchString("") {
		return errors.New("an empty line fits it too; expected: an expression that wants some text")
	}
	e.Expr = expr
	return nil
}

func (e *entry) takeContains(node *yaml.Node) error {
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
		return errors.New("it is no list of texts; expected: one, or the key left out")
	}
	for _, child := range node.Content {
		part, err := scalar(child)
		switch {
		case err != nil:
			return fmt.Errorf("line %d: %w", child.Line, err)
		case len(part) < shortestPart:
			return fmt.Errorf("%q is too short; expected: texts of at least %d bytes, or the key left out", part, shortestPart)
		case checkText(part) != nil:
			return fmt.Errorf("%q has control characters or line breaks in it; expected: a part of one line", part)
		}
		e.Contains = append(e.Contains, part)
	}
	return nil
}

func takeBool(to *bool, node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!bool" || node.Decode(to) != nil {
		return errors.New("it is neither true nor false; expected: one of the two")
	}
	return nil
}

func takeNumber(to *int, node *yaml.Node, least, most int) error {
	n, err := strconv.Atoi(node.Value)
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" || err != nil || n < least || n > most {
		return fmt.Errorf("%q is no number from %d to %d; expected: one", node.Value, least, most)
	}
	*to = n
	return nil
}
