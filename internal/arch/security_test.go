package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryThreatHasATest: a line of docs/security.md that names no test, or one that is not there, promises too much.
func TestEveryThreatHasATest(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := testsByPackage(t, root)
	named := regexp.MustCompile("`([a-z0-9_]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	lines, inTable := 0, false
	for n, line := range strings.Split(string(page), "\n") {
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, ""), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			inTable = false
			continue
		case strings.HasPrefix(line, "| threat |"):
			inTable = true
			continue
		case !inTable || strings.HasPrefix(line, "|---"):
			continue
		}
		lines++
		if len(cells) != 4 {
			t.Errorf("line %d has %d cells: threat, who, what stops them, test", n+1, len(cells))
			continue
		}
		tests := named.FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 || len(tests) != strings.Count(cells[3], "`")/2 {
			t.Errorf("line %d names no test, or something else beside it: %s", n+1, cells[3])
		}
		for _, m := range tests {
			if !known[m[1]][m[2]] {
				t.Errorf("line %d: there is no test %s in a package %s", n+1, m[2], m[1])
			}
		}
		for i, cell := range cells {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("line %d: cell %d is empty", n+1, i+1)
			}
		}
	}
	if lines < 40 {
		t.Errorf("only %d threats were found: is the page built as this test thinks?", lines)
	}
}

// testsByPackage are the tests of every folder, by its last name.
func testsByPackage(t *testing.T, root string) map[string]map[string]bool {
	t.Helper()
	all := map[string]map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && strings.HasPrefix(e.Name(), ".") && path != root {
			return skipped(err)
		}
		if e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		of := filepath.Base(filepath.Dir(path))
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				if all[of] == nil {
					all[of] = map[string]bool{}
				}
				all[of][f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// skipped passes an error on, or leaves out a folder.
func skipped(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}
