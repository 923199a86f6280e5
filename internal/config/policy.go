package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"kovra.dev/chatops/internal/kovra"
)

const (
	maxRules     = 1000
	maxPeople    = 10_000
	policySample = "a mapping with people and rules, see docs/policy.md"
)

// setPolicy reads the policy file. Its error joins all that is wrong with it.
func setPolicy(c *Config, path string) error {
	if err := checkText(path); err != nil {
		return err
	}
	text, err := readBounded(path)
	if err != nil {
		return fmt.Errorf("%w; expected: a readable YAML file, %s", err, policySample)
	}
	policy, err := readPolicy(path, text)
	if err != nil {
		return err
	}
	c.PolicyFile, c.Policy = path, policy
	return nil
}

// policyFile is a policy file while it is read.
type policyFile struct {
	kovra.Policy
	path     string
	names    map[string]int // where each GitLab user was given first, in lower case
	problems []error
}

func readPolicy(path string, text []byte) (kovra.Policy, error) {
	top, err := oneDocument(text)
	switch {
	case err != nil:
		return kovra.Policy{}, fmt.Errorf("%s: %w; expected: %s", path, err, policySample)
	case top == nil:
		return kovra.Policy{}, fmt.Errorf("%s: there is nothing in it; expected: %s", path, policySample)
	case top.Kind != yaml.MappingNode:
		return kovra.Policy{}, fmt.Errorf("%s, line %d: it is no mapping; expected: %s", path, top.Line, policySample)
	}
	f := &policyFile{path: path, names: map[string]int{}}
	f.keys(top, "the file", []string{"people", "rules"}, func(key string, value *yaml.Node) {
		if key == "people" {
			f.takePeople(value)
			return
		}
		f.takeRules(value)
	})
	return f.Policy, errors.Join(f.problems...)
}

// problem notes what is wrong at a line of the file.
func (f *policyFile) problem(line int, format string, args ...any) {
	f.problems = append(f.problems, fmt.Errorf("%s, line %d: %s", f.path, line, fmt.Sprintf(format, args...)))
}

// keys gives take each key of a mapping that is allowed, once.
func (f *policyFile) keys(node *yaml.Node, of string, allowed []string, take func(key string, value *yaml.Node)) {
	seen := map[string]bool{}
	for k := 0; k+1 < len(node.Content); k += 2 {
		key, value := node.Content[k], node.Content[k+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(allowed, key.Value):
			f.problem(key.Line, "%q is no key of %s; expected: one of %s", key.Value, of, strings.Join(allowed, ", "))
		case seen[key.Value]:
			f.problem(key.Line, "%s is given twice; expected: once", key.Value)
		default:
			seen[key.Value] = true
			take(key.Value, value)
		}
	}
}

// takePeople reads who is who.
func (f *policyFile) takePeople(node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		f.problem(node.Line, "people: it is no mapping; expected: GitLab user names by Slack user id, for example U0123ABCD: alice")
		return
	}
	if len(node.Content)/2 > maxPeople {
		f.problem(node.Line, "people: it has %d entries; expected: at most %d", len(node.Content)/2, maxPeople)
		return
	}
	f.People = map[string]string{}
	for k := 0; k+1 < len(node.Content); k += 2 {
		if err := f.takePerson(node.Content[k], node.Content[k+1]); err != nil {
			f.problem(node.Content[k].Line, "people: %s", err)
		}
	}
}

func (f *policyFile) takePerson(key, value *yaml.Node) error {
	slack := key.Value
	if kind, _ := kovra.KindOfWho(slack); key.Kind != yaml.ScalarNode || kind != kovra.WhoUser {
		return fmt.Errorf("%q is no Slack user id; expected: an id such as U0123ABCD", slack)
	}
	if _, twice := f.People[slack]; twice {
		return fmt.Errorf("%s is given twice; expected: once", slack)
	}
	name, err := scalar(value)
	if err != nil {
		return fmt.Errorf("%s: %w", slack, err)
	}
	if err := kovra.CheckGitLabName(name); err != nil {
		return fmt.Errorf("%s: %w expected: a GitLab user name", slack, err)
	}
	if first, taken := f.names[strings.ToLower(name)]; taken {
		return fmt.Errorf("%s: line %d has the GitLab user %s too; expected: one person for each", slack, first, name)
	}
	f.names[strings.ToLower(name)] = key.Line
	f.People[slack] = name
	return nil
}

// takeRules reads the rules.
func (f *policyFile) takeRules(node *yaml.Node) {
	if node.Kind != yaml.SequenceNode {
		f.problem(node.Line, "rules: it is no list; expected: rules with who, may and apps")
		return
	}
	if len(node.Content) > maxRules {
		f.problem(node.Line, "rules: it holds %d rules; expected: at most %d", len(node.Content), maxRules)
		return
	}
	for i, rule := range node.Content {
		f.takeRule(fmt.Sprintf("rule %d", i+1), rule)
	}
}

func (f *policyFile) takeRule(name string, node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		f.problem(node.Line, "%s: it is no mapping; expected: who, may and perhaps apps", name)
		return
	}
	rule := kovra.Rule{Line: node.Line}
	seen := map[string]bool{}
	f.keys(node, name, []string{"who", "may", "apps"}, func(key string, value *yaml.Node) {
		seen[key] = true
		check := map[string]func(string) error{"who": checkWho, "may": checkMay, "apps": checkApp}[key]
		items := f.takeList(name+", "+key, value, key == "may", check)
		switch key {
		case "who":
			rule.Who = items
		case "apps":
			rule.Apps = items
		default:
			for _, m := range items {
				rule.May = append(rule.May, kovra.Permission(m))
			}
		}
	})
	for _, key := range []string{"who", "may"} {
		if !seen[key] {
			f.problem(node.Line, "%s: it has no %s; expected: one (may: [] takes everything away)", name, key)
		}
	}
	f.Rules = append(f.Rules, rule)
}

// takeList reads a list of texts, each of which must pass the check.
func (f *policyFile) takeList(name string, node *yaml.Node, mayBeEmpty bool, check func(string) error) []string {
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 && !mayBeEmpty {
		f.problem(node.Line, "%s: it is no list with something in it; expected: one, in square brackets", name)
		return nil
	}
	var items []string
	for _, child := range node.Content {
		item, err := scalar(child)
		switch {
		case err != nil:
		case slices.Contains(items, item):
			err = fmt.Errorf("%q is there twice; expected: once", item)
		default:
			err = check(item)
		}
		if err != nil {
			f.problem(child.Line, "%s: %s", name, err)
			continue
		}
		items = append(items, item)
	}
	return items
}

func checkWho(item string) error {
	if _, ok := kovra.KindOfWho(item); ok {
		return nil
	}
	return fmt.Errorf("%q is nobody; expected: the id of a Slack user (U…), a user group (S…) or a channel (C…) without @ or #, or %s", item, kovra.Everyone)
}

func checkMay(item string) error {
	if slices.Contains(kovra.PolicyLevels, kovra.Permission(item)) {
		return nil
	}
	return fmt.Errorf("%q is nothing that one may; expected: read, act or admin", item)
}

func checkApp(item string) error {
	if err := kovra.CheckAppGlob(item); err != nil {
		return fmt.Errorf("%w expected: for example web or team-*", err)
	}
	return nil
}
