package kovra

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Policy is what administrators wrote down of people: who is who, and what is taken
// away from whom. It never gives anything. The zero Policy takes nothing away.
type Policy struct {
	// People are GitLab user names by Slack user id.
	People map[string]string
	Rules  []Rule
}

// Rule says what remains of what somebody may do.
type Rule struct {
	Line int      // in the file, for people
	Who  []string // ids of Slack: people (U, W), user groups (S), channels (C, G); or [Everyone]
	May  []Permission
	Apps []string // globs; none: every app
}

// Everyone is the word for all people in a rule.
const Everyone = "everyone"

// WhoKind says what an entry of [Rule.Who] names.
type WhoKind string

// What a rule can name.
const (
	WhoUser     WhoKind = "user"
	WhoGroup    WhoKind = "group"
	WhoChannel  WhoKind = "channel"
	WhoEveryone WhoKind = "everyone"
)

var whoKinds = []struct {
	kind    WhoKind
	pattern *regexp.Regexp
}{
	{WhoUser, regexp.MustCompile(`^[UW][A-Z0-9_]{1,30}$`)},
	{WhoGroup, regexp.MustCompile(`^S[A-Z0-9_]{1,30}$`)},
	{WhoChannel, regexp.MustCompile(`^[CG][A-Z0-9_]{1,30}$`)},
	{WhoEveryone, regexp.MustCompile(`^` + Everyone + `$`)},
}

// KindOfWho tells what an entry of [Rule.Who] names; false: it makes no sense.
func KindOfWho(who string) (WhoKind, bool) {
	for _, k := range whoKinds {
		if k.pattern.MatchString(who) {
			return k.kind, true
		}
	}
	return "", false
}

var appGlob = regexp.MustCompile(`^[a-z0-9*?][a-z0-9*?-]{0,39}$`)

// CheckAppGlob returns nil for a pattern of app names: * is any text, ? one letter.
func CheckAppGlob(glob string) error {
	if !appGlob.MatchString(glob) {
		return Errorf(Invalid, "%q is no pattern of app names: a-z, 0-9 and -, with * for any text and ? for one letter.", glob)
	}
	return nil
}

var gitlabName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$`)

// CheckGitLabName returns nil for a name that a GitLab user can have.
func CheckGitLabName(name string) error {
	if !gitlabName.MatchString(name) {
		return Errorf(Invalid, "%q is no GitLab user name, as in alice, without an @.", name)
	}
	return nil
}

// PolicyLevels are the words of a rule.
var PolicyLevels = []Permission{MayRead, MayAct, MayAdmin}

// Covers reports whether the rule is about the app; "" is covered by a rule about every app.
func (r *Rule) Covers(app string) bool {
	return len(r.Apps) == 0 || slices.ContainsFunc(r.Apps, func(glob string) bool { return matchGlob(glob, app) })
}

// Leaves reports whether the rule leaves a permission to those whom it is about.
func (r *Rule) Leaves(need Permission) bool {
	level := need.Level()
	return level == "" || slices.Contains(r.May, level)
}

// String names the rule for people.
func (r *Rule) String() string { return fmt.Sprintf("the policy (line %d)", r.Line) }

// Rule returns the first rule that is about the app and for which is says yes to somebody that it
// names; nil: there is none. is is asked in order, and no more often than needed. With an error of is comes the rule that cannot be
// judged: it names somebody of whom it is not known, and nobody who fits.
func (p *Policy) Rule(app string, is func(kind WhoKind, who string) (bool, error)) (*Rule, error) {
	for i := range p.Rules {
		r := &p.Rules[i]
		if !r.Covers(app) {
			continue
		}
		var unknown error
		for _, who := range r.Who {
			kind, _ := KindOfWho(who)
			if kind == WhoEveryone {
				return r, nil
			}
			yes, err := is(kind, who)
			if yes {
				return r, nil
			}
			unknown = cmp.Or(unknown, err)
		}
		if unknown != nil {
			return r, unknown
		}
	}
	return nil, nil //nolint:nilnil // no rule is no mistake
}

// SlackUserOf returns the Slack user whom the table names for a GitLab user; "": nobody.
func (p *Policy) SlackUserOf(gitlabUser string) string {
	for slack, name := range p.People {
		if gitlabUser != "" && strings.EqualFold(name, gitlabUser) {
			return slack
		}
	}
	return ""
}

// GitLabUserOf returns the GitLab user name that the table names for a Slack user; "": none.
func (p *Policy) GitLabUserOf(slackUser string) string { return p.People[slackUser] }
