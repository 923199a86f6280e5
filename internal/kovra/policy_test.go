package kovra

import (
	"errors"
	"slices"
	"testing"
)

func TestKindOfWho(t *testing.T) {
	for who, want := range map[string]WhoKind{
		"U0123ABCD": WhoUser, "W2": WhoUser, "UALICE": WhoUser, "S0TEAM": WhoGroup, "C0CHAN": WhoChannel, "G1": WhoChannel, "everyone": WhoEveryone,
		"": "", "U": "", "alice": "", "@S0TEAM": "", "#C0CHAN": "", "Everyone": "", "T1": "", "U1 U2": "", "U1\n": "",
	} {
		if got, ok := KindOfWho(who); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", who, got, ok, want)
		}
	}
}

func TestPolicyNames(t *testing.T) {
	for glob, good := range map[string]bool{"web": true, "team-*": true, "*": true, "?-web": true, "": false, "Web": false, "-web": false, "[a-z]": false, "a b": false} {
		if err := CheckAppGlob(glob); (err == nil) != good {
			t.Errorf("app glob %q: %v, want good %v", glob, err, good)
		}
	}
	for name, good := range map[string]bool{"alice": true, "Al.ice-2_": true, "": false, "@alice": false, "alice@example.com": false, "a/b": false} {
		if err := CheckGitLabName(name); (err == nil) != good {
			t.Errorf("GitLab name %q: %v, want good %v", name, err, good)
		}
	}
}

func TestPolicyRule(t *testing.T) {
	p := Policy{Rules: []Rule{
		{Line: 1, Who: []string{"UADA"}, May: PolicyLevels},
		{Line: 2, Who: []string{"SOPS", "CWEB"}, May: []Permission{MayRead, MayAct}, Apps: []string{"web", "team-*"}},
		{Line: 3, Who: []string{Everyone}, Apps: []string{"secret"}},
		{Line: 4, Who: []string{"UBEN"}, May: []Permission{MayRead}},
	}}
	tests := []struct {
		name, app string
		is        []string
		line      int // 0: none
		left      []Permission
	}{
		{"the first names me", "web", []string{"UADA", "SOPS"}, 1, []Permission{MaySelf, MayRead, MayAct, MayBuild, MayAdmin, MayLink, MayOwn}},
		{"group", "web", []string{"SOPS"}, 2, []Permission{MaySelf, MayRead, MayAct, MayBuild}},
		{"channel, glob", "team-x", []string{"CWEB"}, 2, []Permission{MaySelf, MayRead, MayAct, MayBuild}},
		{"another app", "api", []string{"CWEB"}, 0, nil},
		{"everyone", "secret", nil, 3, []Permission{MaySelf}},
		{"last", "api", []string{"UBEN"}, 4, []Permission{MaySelf, MayRead}},
		{"no app: only rules about every app", "", []string{"CWEB", "UBEN"}, 4, []Permission{MaySelf, MayRead}},
		{"nobody", "web", nil, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := p.Rule(tt.app, func(_ WhoKind, who string) (bool, error) { return slices.Contains(tt.is, who), nil })
			if err != nil {
				t.Fatal(err)
			}
			if (r != nil) != (tt.line != 0) || r != nil && r.Line != tt.line {
				t.Fatalf("got rule %+v, want line %d", r, tt.line)
			}
			if r == nil {
				return
			}
			var left []Permission
			for _, need := range []Permission{MaySelf, MayRead, MayAct, MayBuild, MayAdmin, MayLink, MayOwn} {
				if r.Leaves(need) {
					left = append(left, need)
				}
			}
			if !slices.Equal(left, tt.left) {
				t.Errorf("left: %v, want %v", left, tt.left)
			}
		})
	}
}

// A rule that cannot be judged must not be passed over: the next one may leave more.
func TestPolicyRuleThatCannotBeJudged(t *testing.T) {
	p := Policy{Rules: []Rule{{Line: 1, Who: []string{"SOPS"}}, {Line: 2, Who: []string{Everyone}, May: PolicyLevels}}}
	broken := errors.New("down")
	if r, err := p.Rule("web", func(WhoKind, string) (bool, error) { return false, broken }); !errors.Is(err, broken) || r.Line != 1 {
		t.Errorf("got %v, %v, want line 1 and %v", r, err, broken)
	}
	p.Rules[0].Who = []string{"SOPS", "UADA"} // it fits somebody, whoever else it means
	r, err := p.Rule("web", func(kind WhoKind, _ string) (bool, error) {
		if kind == WhoGroup {
			return false, broken
		}
		return true, nil
	})
	if err != nil || r.Line != 1 {
		t.Errorf("got %v, %v, want line 1", r, err)
	}
}

func TestPolicyPeople(t *testing.T) {
	p := Policy{People: map[string]string{"U1": "Alice"}}
	if got := p.SlackUserOf("alice"); got != "U1" {
		t.Errorf("Slack user %q", got)
	}
	if got := p.SlackUserOf(""); got != "" {
		t.Errorf("Slack user of nobody %q", got)
	}
	if got := p.GitLabUserOf("U1"); got != "Alice" {
		t.Errorf("GitLab user %q", got)
	}
}
