// Package apply keeps apps as code: it reads a file that says which apps there are, to which projects they are linked, what
// channels hear of them and how they are built; it compares that with the state, and has the difference carried out.
//
// It is used by the command line: [Decode] reads a file, [Document.Resolve] finds out what its names stand for, [Compare]
// makes a [Plan], [Plan.Propose] writes it down as the same actions that people ask for in Slack, and [Await] tells how they
// ended. [Export] writes the state as such a file.
//
// The state in the database is the truth. It never changes state but by actions, which the server carries out, and never
// decides who may do that. Nothing is done of a file in which anything is wrong.
package apply

import (
	"fmt"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// Document is a file of apps.
type Document struct {
	File  string // its name, for messages
	Prune bool   // take away what is not in it
	Apps  []App  // by name

	channels map[string]string // names by id, where they were asked for
}

// App is what the file says of one app.
type App struct {
	Name     string
	Line     int
	Project  string // as it is written; "": nothing is said
	Channels []Channel
	Builds   *Builds // nil: nothing is said

	projectLine int
	project     kovra.Project // that Project stands for, once resolved; of it ID and Path count
}

// Channel is what a channel shall hear of an app.
type Channel struct {
	Name    string // #name, or an id of Slack
	Line    int
	Filters []kovra.Filter // in normal form, each once

	id string // once resolved
}

// Builds are the settings of an app's builds, all of them.
type Builds struct {
	Line     int
	Settings kovra.BuildSettings
	// kept are the lines of build arguments that are written without a value: it stays what it is.
	kept map[string]int
}

// Problem is one thing that is wrong with a file.
type Problem struct {
	Line int // 0: it is about no line
	Text string
}

// FileError is the error of a file that cannot be applied, with all that is wrong.
type FileError struct {
	File string
	All  []Problem
}

// Error lists the problems, in the order of the file.
func (p *FileError) Error() string {
	all := slices.Clone(p.All)
	slices.SortStableFunc(all, func(a, b Problem) int { return a.Line - b.Line })
	lines := make([]string, 0, len(all)+1)
	lines = append(lines, "nothing was done; "+plural(len(all), "problem", "problems")+" with the file:")
	for _, one := range all {
		where := p.File
		if one.Line > 0 {
			where = fmt.Sprintf("%s, line %d", p.File, one.Line)
		}
		lines = append(lines, where+": "+one.Text)
	}
	return strings.Join(lines, "\n")
}

// problems gathers what is wrong with a file.
type problems struct{ all []Problem }

func (p *problems) add(line int, format string, args ...any) {
	p.all = append(p.all, Problem{Line: line, Text: oneLine(fmt.Sprintf(format, args...))})
}

// of is the error of all that was gathered; nil: nothing.
func (p *problems) of(file string) error {
	if len(p.all) == 0 {
		return nil
	}
	return &FileError{File: file, All: p.all}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
