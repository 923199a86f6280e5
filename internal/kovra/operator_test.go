package kovra

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestOperator(t *testing.T) {
	for _, name := range []string{"", " ", "a b", "-x", "a\n", "<@U1>", strings.Repeat("a", 61)} {
		if p, err := Operator(name); KindOf(err) != Invalid || p.IsOperator() {
			t.Errorf("%q: %+v, %v", name, p, err)
		}
	}
	for _, name := range []string{"root", "ci", "uid-65532", "ann.b@example.com", "_apt"} {
		p, err := Operator(name)
		if err != nil || !p.IsOperator() || p.ID != "" || p.Name != name+" (command line)" {
			t.Errorf("%q: %+v, %v", name, p, err)
		}
		kept, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again Person
		if err := json.Unmarshal(kept, &again); err != nil || again != p {
			t.Errorf("kept as %s, read as %+v, %v", kept, again, err)
		}
	}
	for _, p := range []Person{{}, {ID: "cli:ci"}, {Name: "ci (command line)"}, {ID: "U1", Operator: "ci"}, {GitLab: GitLabUser{ID: 1}, Operator: "ci"}} {
		if p.IsOperator() {
			t.Errorf("%+v is taken for one", p)
		}
	}
}
