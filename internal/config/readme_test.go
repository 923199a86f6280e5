package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of settings into README.md")

var settingsTable = regexp.MustCompile(`(?s)<!-- settings -->\n.*?<!-- /settings -->`)

// TestReadmeListsTheSettings keeps the table in README.md equal to what is read.
func TestReadmeListsTheSettings(t *testing.T) {
	path := filepath.Join("..", "..", "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("<!-- settings -->\n| variable | what | default |\n|---|---|---|\n")
	for _, s := range Describe() {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", s.Name, s.Help, s.Default)
	}
	table.WriteString("<!-- /settings -->")
	if *update {
		text = settingsTable.ReplaceAllLiteral(text, []byte(table.String()))
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(table.String(), string(settingsTable.Find(text))); diff != "" {
		t.Errorf("README.md (go test ./internal/config -update writes it; -want +got):\n%s", diff)
	}
}
