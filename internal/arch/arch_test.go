// Package arch holds the rules of the architecture as tests: which package may
// link which, who may start goroutines, how long a function may be, and that
// ARCHITECTURE.md shows the map as it is.
//
// It is used by running its tests; a new package, or a new right of an old one,
// is written into the tables at their top.
//
// It never judges style that a linter knows.
package arch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "kovra.dev/chatops/"

const anything = "*"

// may says which of our packages a package may link, directly or not.
// A package that is missing here fails the test; one that is here and not
// built yet does not.
var may = map[string][]string{
	"internal/kovra":     {},
	"internal/reconcile": {},
	"internal/joblog":    {},
	"internal/config":    {"internal/kovra"},
	"storage":            {"internal/kovra"},
	"webhooks":           floor,
	"bot":                floor,
	"tekton":             floor,
	"internal/gitlab":    floor,
	"internal/identity":  floor,
	"internal/web":       floor,
	"internal/dispatch":  floor,
	"internal/apply":     append([]string{"bot"}, floor...),
	"internal/app":       {anything},
	"internal/check":     {anything},
	"cmd/kovra":          {anything},
	"cmd/kovra-demo":     {anything},
	"manifests":          {},

	"storage/storagetest":  {anything},
	"internal/arch":        {},
	"internal/slacksim":    {},
	"internal/gitlabsim":   {},
	"internal/tektonsim":   {"internal/kovra"},
	"internal/e2e":         {anything},
	"internal/clustertest": {},
}

// floor is what every adapter may stand on.
var floor = []string{"internal/kovra", "internal/reconcile", "internal/joblog", "storage"}

var simulators = []string{"internal/slacksim", "internal/gitlabsim", "internal/tektonsim"}

// never names what must not be linked, even indirectly. A name that ends in a
// slash stands for all below it.
var never = map[string][]string{
	"internal/kovra":     {"net/", "database/", "github.com/", "gitlab.com/", "k8s.io/"},
	"internal/reconcile": {"database/", "github.com/slack-go/", "gitlab.com/"},
	"internal/joblog":    {"net/http", "database/", "k8s.io/", "github.com/slack-go/", "gitlab.com/"},
	"internal/config":    {"net/http", "database/", "k8s.io/", "github.com/slack-go/", "gitlab.com/"},
	"storage":            {"net/http", "k8s.io/", "github.com/slack-go/", "github.com/gin-gonic/", "gitlab.com/"},
	"bot":                {"github.com/tektoncd/", "k8s.io/client-go/kubernetes", "gitlab.com/", "github.com/gin-gonic/"},
	"webhooks":           {"github.com/tektoncd/", "k8s.io/client-go/kubernetes", "gitlab.com/"},
	"internal/gitlab":    {"github.com/tektoncd/", "github.com/slack-go/", "github.com/gin-gonic/"},
	"tekton":             {"database/sql", "github.com/slack-go/", "github.com/gin-gonic/", "gitlab.com/"},
	"internal/dispatch":  {"github.com/slack-go/", "github.com/gin-gonic/", "gitlab.com/"},
	"internal/app":       ours(simulators),
	"internal/check":     ours(simulators),
	"cmd/kovra":          ours(simulators),
}

// mayGo lists the packages that may start goroutines.
var mayGo = slices.Concat([]string{"internal/reconcile", "internal/app", "storage", "storage/storagetest"}, simulators)

const (
	maxFunction = 100 // lines of a function, its first and last included
	maxFile     = 600 // lines of a file outside of tests and simulators
)

func ours(names []string) []string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = module + name
	}
	return paths
}

// pkg is one package as `go list` and the parser see it.
type pkg struct {
	ImportPath, Dir                    string
	Deps                               []string
	GoFiles, TestGoFiles, XTestGoFiles []string

	name  string               // its path inside of the module
	fset  *token.FileSet       // positions of files
	files map[string]*ast.File // its files without tests, by name
}

const root = "../.."

// load lists and parses the packages of the module once for all tests.
var load = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Deps,GoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := pkg{fset: token.NewFileSet(), files: map[string]*ast.File{}}
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return pkgs, nil
		case err != nil:
			return nil, err
		}
		p.name = strings.TrimPrefix(p.ImportPath, module)
		for _, name := range p.GoFiles {
			if p.files[name], err = p.parse(name); err != nil {
				return nil, err
			}
		}
		pkgs = append(pkgs, p)
	}
})

func (p *pkg) parse(name string) (*ast.File, error) {
	return parser.ParseFile(p.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
}

func packages(t *testing.T) []pkg {
	t.Helper()
	pkgs, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) == 0 {
		t.Fatal("go list finds no package")
	}
	return pkgs
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		allowed, known := may[p.name]
		if !known {
			t.Errorf("%s is not on the map: add it here and to ARCHITECTURE.md", p.name)
			continue
		}
		for _, dep := range p.Deps {
			our, isOurs := strings.CutPrefix(dep, module)
			if isOurs && !slices.Contains(allowed, our) && !slices.Contains(allowed, anything) {
				t.Errorf("%s must not link %s", p.name, our)
			}
			if bad := forbidden(p.name, dep); bad {
				t.Errorf("%s must not link %s", p.name, dep)
			}
		}
	}
}

func forbidden(name, dep string) bool {
	return slices.ContainsFunc(never[name], func(bad string) bool {
		return dep == bad || strings.HasSuffix(bad, "/") && strings.HasPrefix(dep, bad)
	})
}

func TestTheTablesNameKnownPackages(t *testing.T) {
	names := slices.Concat(mayGo, floor)
	for name, list := range may {
		names = append(append(names, name), list...)
	}
	for name := range never {
		names = append(names, name)
	}
	for _, name := range names {
		if _, known := may[name]; !known && name != anything {
			t.Errorf("%s is in a table and not on the map", name)
		}
	}
}

func TestGoroutinesHaveOwners(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(mayGo, p.name) {
			continue
		}
		for _, file := range p.files {
			ast.Inspect(file, func(n ast.Node) bool {
				if stmt, ok := n.(*ast.GoStmt); ok {
					t.Errorf("%s: go statement; give the work to a Run method or a loop", p.fset.Position(stmt.Pos()))
				}
				return true
			})
		}
	}
}

// TestOnlyTheCommandLineHasOperators: kovra.Operator is a person who may do everything with the bot's token. Whoever makes
// one must have the database in their hands: nothing that serves Slack, GitLab or a browser may.
func TestOnlyTheCommandLineHasOperators(t *testing.T) {
	made := 0
	for _, p := range packages(t) {
		for _, file := range p.files {
			ast.Inspect(file, func(n ast.Node) bool {
				if !makesOperator(n) || p.name == "internal/kovra" || p.name == "storage/storagetest" {
					return true
				}
				if made++; p.name != "cmd/kovra" {
					t.Errorf("%s: makes an operator", p.fset.Position(n.Pos()))
				}
				return true
			})
		}
	}
	if made == 0 {
		t.Error("nobody makes an operator: this test looks for the wrong thing")
	}
}

// makesOperator reports whether a node calls kovra.Operator, or sets a field of that name.
func makesOperator(n ast.Node) bool {
	named := func(e ast.Expr) bool {
		s, ok := e.(*ast.SelectorExpr)
		return ok && s.Sel.Name == "Operator"
	}
	switch n := n.(type) {
	case *ast.CallExpr:
		return named(n.Fun)
	case *ast.KeyValueExpr:
		key, ok := n.Key.(*ast.Ident)
		return ok && key.Name == "Operator"
	case *ast.AssignStmt:
		return slices.ContainsFunc(n.Lhs, named)
	}
	return false
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range packages(t) {
		files := p.GoFiles
		if len(files) == 0 {
			files = slices.Concat(p.TestGoFiles, p.XTestGoFiles)
		}
		commented := 0
		for _, name := range files {
			file, err := p.parse(name)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != "" {
				commented++
			}
		}
		if commented != 1 {
			t.Errorf("%s has %d package comments, want 1: what it owns, how it is used, what it never does", p.name, commented)
		}
	}
}

func TestFunctionsFitOneScreen(t *testing.T) {
	for _, p := range packages(t) {
		for _, file := range p.files {
			for _, decl := range file.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok {
					continue
				}
				first, last := p.fset.Position(fn.Pos()), p.fset.Position(fn.End())
				if lines := last.Line - first.Line + 1; lines > maxFunction {
					t.Errorf("%s: %s has %d lines, want at most %d", first, fn.Name.Name, lines, maxFunction)
				}
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(simulators, p.name) {
			continue
		}
		for name, file := range p.files {
			if lines := p.fset.File(file.Pos()).LineCount(); lines > maxFile && !ast.IsGenerated(file) {
				t.Errorf("%s/%s has %d lines, want at most %d: a file is named after the noun it holds", p.name, name, lines, maxFile)
			}
		}
	}
}

var (
	mapTable = regexp.MustCompile(`(?s)<!-- packages -->(.*?)<!-- /packages -->`)
	quoted   = regexp.MustCompile("`([^`]+)`")
)

// TestTheMapIsDrawnAsItIs compares the second column of the table in
// ARCHITECTURE.md with the packages that there are.
func TestTheMapIsDrawnAsItIs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := mapTable.FindStringSubmatch(string(text))
	if table == nil {
		t.Fatal("ARCHITECTURE.md has no table between <!-- packages --> and <!-- /packages -->")
	}
	var want, drawn []string
	for _, p := range packages(t) {
		want = append(want, p.name)
	}
	for row := range strings.Lines(table[1]) {
		cells := strings.Split(row, "|")
		if len(cells) < 3 {
			continue
		}
		for _, match := range quoted.FindAllStringSubmatch(cells[2], -1) {
			drawn = append(drawn, strings.TrimSuffix(match[1], "/"))
		}
	}
	slices.Sort(want)
	slices.Sort(drawn)
	if diff := cmp.Diff(want, drawn); diff != "" {
		t.Errorf("the table of ARCHITECTURE.md differs from go list (-is +drawn):\n%s", diff)
	}
}
