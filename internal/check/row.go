package check

import (
	"fmt"
	"slices"
	"strings"
)

// Row is one misconfiguration that can be found.
type Row struct {
	// ID is stable: area, what was looked at, and what is wrong with it.
	ID     string
	Status Status // Wrong or Warning
	// What is wrong, and what mends it. Names in angle brackets are gaps, filled when it is found.
	What, Mend string
}

// orRestart ends a mend that puts a secret in place: files of secrets are read again while Kovra runs.
const orRestart = ". Unless it comes from a file, start Kovra again."

// Rows is the table of everything that can be found, in the order of the areas.
func Rows() []Row { return slices.Clone(rows) }

var rows = slices.Concat(configRows, databaseRows, slackRows, gitlabRows, projectRows, publicRows, clusterRows)

// fill puts values into the gaps of a text; args are names and values in turn.
func fill(text string, args []string) string {
	var pairs []string
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, "<"+args[i]+">", args[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// Table is the table of [Rows] in Markdown, by area.
func Table() string {
	var out strings.Builder
	for _, a := range areas {
		fmt.Fprintf(&out, "## %s\n\n| id | | what is wrong | the mend |\n|---|---|---|---|\n", a.title)
		for _, r := range rows {
			if strings.HasPrefix(r.ID, a.id+".") {
				fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", r.ID, r.Status, cell(r.What), cell(r.Mend))
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

// cell makes a text fit into a cell of a table in Markdown: gaps would be taken for HTML.
func cell(text string) string {
	parts := strings.Split(text, "`")
	for i := range parts {
		if i%2 == 0 { // outside of code
			parts[i] = strings.NewReplacer("<", "‹", ">", "›").Replace(parts[i])
		}
	}
	return strings.ReplaceAll(strings.Join(parts, "`"), "|", `\|`)
}
