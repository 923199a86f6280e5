package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds every file that is read here, in bytes.
const maxFile = 1 << 20

// readFile takes the settings of a YAML file: one mapping from variable to value.
func (l *loader) readFile(path string) {
	text, err := readBounded(path)
	if err != nil {
		l.fileProblem(path, err)
		return
	}
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		l.fileProblem(path, err)
		return
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.ShortTag() == "!!null" {
		return
	}
	if top.Kind != yaml.MappingNode {
		l.fileProblem(fmt.Sprintf("%s, line %d", path, top.Line), errors.New("expected a mapping of KOVRA_… names to values"))
		return
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		l.fileProblem(path, errors.New("expected one document, there is more after it"))
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		l.readEntry(path, top.Content[i], top.Content[i+1])
	}
}

// readEntry takes one key of the file and its value.
func (l *loader) readEntry(path string, key, node *yaml.Node) {
	name, where := key.Value, fmt.Sprintf("%s, line %d", path, key.Line)
	if key.Kind != yaml.ScalarNode {
		l.fileProblem(where, errors.New("a key is no text; expected: a KOVRA_… name"))
		return
	}
	if !known(name) {
		l.problem(name, where, "%s", unknown(name))
		return
	}
	if _, twice := l.values[name]; twice {
		l.problem(name, where, "it is given twice; expected: once")
		return
	}
	value, err := nodeValue(node, isList(name))
	if err != nil {
		l.problem(name, where, "%s", err)
		return
	}
	l.values[name] = source{value: value, where: where, level: fromFile}
}

// nodeValue gives the value of a node in the form in which the environment has it.
func nodeValue(node *yaml.Node, list bool) (string, error) {
	if node.Kind != yaml.SequenceNode || !list {
		return scalar(node)
	}
	items := make([]string, 0, len(node.Content))
	for _, child := range node.Content {
		item, err := scalar(child)
		if err != nil {
			return "", fmt.Errorf("line %d: %w", child.Line, err)
		}
		if strings.Contains(item, ",") {
			return "", fmt.Errorf("line %d: an entry of the list has a comma in it; expected: one entry for each value", child.Line)
		}
		items = append(items, item)
	}
	if len(items) == 0 {
		return "", errors.New("the list is empty; expected: a value, or the key left out")
	}
	return strings.Join(items, ","), nil
}

// scalar gives the text of a plain value as it is written in the file.
func scalar(node *yaml.Node) (string, error) {
	if node.Kind != yaml.ScalarNode {
		return "", errors.New("it is no plain value; expected: a text or a number (a list where the setting is one)")
	}
	switch node.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
	default:
		return "", errors.New("it has no plain value; expected: a text or a number, or the key left out")
	}
	if node.Value == "" {
		return "", errors.New("it is empty; expected: a value, or the key left out")
	}
	return node.Value, nil
}

func isList(name string) bool {
	for _, s := range settings {
		if s.Name == name {
			return s.List
		}
	}
	return false
}

// readSecretFile reads a secret from a file; one line end after it does not belong to it.
func readSecretFile(path string) (string, error) {
	text, err := readBounded(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// readBounded reads a regular file of at most maxFile bytes.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("larger than 1 MiB")}
	}
	return text, nil
}
