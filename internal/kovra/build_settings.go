package kovra

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// BuildSettings say how an app is built and deployed (PRODUCT.md B5). The zero value is not
// the default; [DefaultBuildSettings] is.
type BuildSettings struct {
	App string `json:"-"`

	Enabled    bool       `json:"enabled"`              // automatic builds
	Branch     string     `json:"branch"`               // that is built
	Dockerfile string     `json:"dockerfile,omitempty"` // "": it is looked for
	AutoDeploy bool       `json:"auto_deploy"`
	Args       []BuildArg `json:"args,omitempty"`

	Target DeployTarget `json:"target,omitzero"`
	// AllowManaged: deploy also where Argo CD, Flux or Helm own the Deployment.
	AllowManaged bool     `json:"allow_managed,omitempty"`
	Supersede    bool     `json:"supersede"`         // a newer push cancels a pending build of the branch
	Tags         string   `json:"tags,omitempty"`    // build tags that match; "": none
	Context      string   `json:"context,omitempty"` // "": the root of the repository
	Paths        []string `json:"paths,omitempty"`   // build only when one of these changes; none: always
	Secrets      []string `json:"secrets,omitempty"` // names of Kubernetes Secrets

	// Tenancy (B9); "": the defaults.
	Namespace      string `json:"namespace,omitempty"`
	ServiceAccount string `json:"service_account,omitempty"`
	Registry       string `json:"registry,omitempty"`

	// Paused: a roll back stopped auto-deploy until somebody resumes it, or a restore of the database did.
	Paused          bool   `json:"paused,omitempty"`
	PausedBy        Person `json:"paused_by,omitzero"`
	PausedByRestore bool   `json:"paused_by_restore,omitempty"`

	ChangedBy Person    `json:"changed_by,omitzero"`
	ChangedAt time.Time `json:"changed_at,omitzero"`
	// TagsSince is when the app got its project: what that had is not built by itself.
	TagsSince time.Time `json:"tags_since,omitzero"`
}

// PausedSince is what paused auto-deploy, for people.
func (s BuildSettings) PausedSince() string {
	if s.PausedByRestore {
		return "the database was restored from a backup"
	}
	return "a roll back"
}

// DefaultBuildSettings are those of an app that nobody has set anything for.
func DefaultBuildSettings(app string) BuildSettings {
	return BuildSettings{App: app, Branch: DefaultBuildBranch, Supersede: true}
}

// DefaultBuildBranch is the branch that is built unless the settings name another.
const DefaultBuildBranch = "main"

// Bounds of settings.
const (
	maxBuildArgs     = 50
	maxBuildArgBytes = 4096
	maxBuildLists    = 20
	maxBuildPath     = 255
)

var argKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// SettingField names one setting, in errors and forms.
type SettingField string

// The settings.
const (
	FieldEnabled        SettingField = "enabled"
	FieldBranch         SettingField = "branch"
	FieldDockerfile     SettingField = "dockerfile"
	FieldAutoDeploy     SettingField = "auto_deploy"
	FieldArgs           SettingField = "args"
	FieldNamespace      SettingField = "target_namespace"
	FieldDeployment     SettingField = "deployment"
	FieldContainer      SettingField = "container"
	FieldAllowManaged   SettingField = "allow_managed"
	FieldSupersede      SettingField = "supersede"
	FieldTags           SettingField = "tags"
	FieldContext        SettingField = "context"
	FieldPaths          SettingField = "paths"
	FieldSecrets        SettingField = "secrets"
	FieldBuildNamespace SettingField = "build_namespace"
	FieldAccount        SettingField = "service_account"
	FieldRegistry       SettingField = "registry"
)

// Problem is what is wrong with one setting, as a sentence for people.
type Problem struct {
	Field SettingField
	Text  string
}

// Check returns everything that is wrong with the settings.
func (s *BuildSettings) Check() []Problem {
	var all []Problem
	add := func(f SettingField, err error) {
		if err != nil {
			all = append(all, Problem{f, PublicText(err)})
		}
	}
	add(FieldBranch, checkBranch(s.Branch))
	add(FieldDockerfile, CheckRepoPath("Dockerfile path", s.Dockerfile))
	add(FieldContext, CheckRepoPath("context directory", s.Context))
	add(FieldArgs, CheckBuildArgs(s.Args))
	add(FieldNamespace, checkLabel("namespace", s.Target.Namespace))
	add(FieldDeployment, checkName("Deployment", s.Target.Deployment))
	add(FieldContainer, checkLabel("container", s.Target.Container))
	if !s.Target.IsZero() && (s.Target.Namespace == "" || s.Target.Deployment == "") {
		add(FieldDeployment, Errorf(Invalid, "A deploy target needs a namespace and a Deployment; the container may be left out where there is only one."))
	}
	if s.AutoDeploy && s.Target.IsZero() {
		add(FieldAutoDeploy, Errorf(Invalid, "Auto-deploy needs to know the Deployment to update."))
	}
	add(FieldTags, checkGlob(s.Tags))
	add(FieldPaths, checkList(s.Paths, checkGlob))
	add(FieldSecrets, checkList(s.Secrets, func(v string) error { return checkName("Secret", v) }))
	add(FieldBuildNamespace, checkLabel("build namespace", s.Namespace))
	add(FieldAccount, checkName("service account", s.ServiceAccount))
	if s.Registry != "" && !IsRegistry(s.Registry) {
		add(FieldRegistry, Errorf(Invalid, "%q is no image prefix, as in registry.example.com/team.", s.Registry))
	}
	return all
}

func checkBranch(v string) error {
	if !isBranch(v) {
		return Errorf(Invalid, "%q is no name of a branch.", v)
	}
	return nil
}

// isBranch follows git's rules for names, as far as they matter here; Kubernetes would expand $(.
func isBranch(v string) bool {
	return v != "" && len(v) <= maxBuildPath && utf8.ValidString(v) && !strings.ContainsFunc(v, unprintable) &&
		!strings.ContainsAny(v, " ~^:?*[\\") && !strings.Contains(v, "..") && !strings.Contains(v, "@{") && !strings.Contains(v, "$(") &&
		!strings.HasPrefix(v, "-") && strings.Trim(v, "/") == v
}

func checkLabel(what, v string) error {
	if v == "" || IsKubeLabel(v) {
		return nil
	}
	return Errorf(Invalid, "%q is no name of a %s: a-z, 0-9 and - alone, no more than 63 characters.", v, what)
}

func checkName(what, v string) error {
	if v == "" || IsKubeName(v) {
		return nil
	}
	return Errorf(Invalid, "%q is no name of a %s: a-z, 0-9, - and . alone, no more than 253 characters.", v, what)
}

// CheckRepoPath returns nil for a path inside the repository, or "" for none.
func CheckRepoPath(what, v string) error {
	switch {
	case v == "":
		return nil
	case len(v) > maxBuildPath || !utf8.ValidString(v) || strings.ContainsFunc(v, unprintable):
		return Errorf(Invalid, "The %s must be at most %d characters, on one line.", what, maxBuildPath)
	case path.IsAbs(v) || strings.Contains(v, `\`) || strings.HasPrefix(v, "-"):
		return Errorf(Invalid, "The %s is relative to the root of the repository, as in docker/Dockerfile; %q is not.", what, v)
	case slices.Contains(strings.Split(v, "/"), ".."):
		return Errorf(Invalid, "The %s must stay inside the repository; %q does not.", what, v)
	case strings.Contains(v, "$"):
		return Errorf(Invalid, "The %s must not hold a $, in which Kubernetes and Tekton look for variables.", what)
	}
	return nil
}

// CheckBuildArgs returns nil for arguments that can be given to a builder as they are.
// Every text of one line is passed on literally.
func CheckBuildArgs(args []BuildArg) error {
	if len(args) > maxBuildArgs {
		return Errorf(Invalid, "At most %d build arguments.", maxBuildArgs)
	}
	bytes := 0
	for i, a := range args {
		bytes += len(a.Key) + len(a.Value)
		switch {
		case !argKey.MatchString(a.Key):
			return Errorf(Invalid, "%q is no name of a build argument: letters, digits and _ alone, and no digit first.", a.Key)
		case slices.ContainsFunc(args[:i], func(o BuildArg) bool { return o.Key == a.Key }):
			return Errorf(Invalid, "%s is given twice.", a.Key)
		case !utf8.ValidString(a.Value) || strings.ContainsFunc(a.Value, unprintable):
			return Errorf(Invalid, "The value of %s holds a line break or another control character; one line alone can be passed on.", a.Key)
		}
	}
	if bytes > maxBuildArgBytes {
		return Errorf(Invalid, "The build arguments have %d bytes in all; at most %d can be passed on.", bytes, maxBuildArgBytes)
	}
	return nil
}

func unprintable(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

func checkGlob(v string) error {
	if _, err := path.Match(v, ""); err != nil || len(v) > maxBuildPath || strings.ContainsFunc(v, unprintable) {
		return Errorf(Invalid, "%q is no pattern, as in v* or services/web/**.", v)
	}
	return nil
}

func checkList(all []string, check func(string) error) error {
	if len(all) > maxBuildLists {
		return Errorf(Invalid, "At most %d entries.", maxBuildLists)
	}
	for i, v := range all {
		if v == "" || slices.Contains(all[:i], v) {
			return Errorf(Invalid, "An entry is empty, or there twice: %q.", v)
		}
		if err := check(v); err != nil {
			return err
		}
	}
	return nil
}

// Warnings are what is allowed, but hardly meant: a build argument that looks like a secret stays in the
// history of the image.
func (s *BuildSettings) Warnings() []string {
	var all []string
	for _, a := range s.Args {
		if looksSecret(a) {
			all = append(all, fmt.Sprintf("%s looks like a secret. Build arguments stay readable in the image's history; use build secrets instead.", a.Key))
		}
	}
	return all
}

var (
	secretWords  = []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "APIKEY", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY"}
	secretStarts = []string{"glpat-", "gldt-", "glcbt-", "ghp_", "github_pat_", "xoxb-", "xoxp-", "AKIA", "eyJ", "-----BEGIN"}
)

func looksSecret(a BuildArg) bool {
	key := strings.ToUpper(a.Key)
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(key, w) }) ||
		slices.ContainsFunc(secretStarts, func(w string) bool { return strings.HasPrefix(a.Value, w) })
}

// Follows reports whether the app builds the branch or tag of the push by itself. A tag that is read may have been there before the
// settings or the project were.
func (s *BuildSettings) Follows(p Push) bool {
	switch {
	case !s.Enabled:
		return false
	case p.Tag:
		return s.Tags != "" && matches(s.Tags, p.Ref) && isBranch(p.Ref) && (!p.Read || p.At.After(s.ChangedAt) && p.At.After(s.TagsSince))
	default:
		return p.Ref == s.Branch
	}
}

// Wants reports whether a push starts a build by itself.
func (s *BuildSettings) Wants(p Push) bool {
	if !s.Follows(p) || p.After == "" {
		return false
	}
	// What changed may not be known in full: then it is built, since a build too many is better than one too few.
	return p.Tag || len(s.Paths) == 0 || !p.AllPaths || slices.ContainsFunc(p.Paths, func(file string) bool {
		return slices.ContainsFunc(s.Paths, func(pattern string) bool { return matches(pattern, file) })
	})
}

// matches reports whether a pattern fits a name or path: * is anything within a name, ** any number of
// folders, and a pattern that names a folder fits all below it.
func matches(pattern, name string) bool {
	return matchParts(strings.Split(strings.Trim(pattern, "/"), "/"), strings.Split(name, "/"))
}

// matchParts goes on from the last ** alone when a part does not fit: what came before it can stay where it was found first.
func matchParts(pattern, name []string) bool {
	p, n := 0, 0
	again, from := -1, 0 // where to go on, in pattern and name; -1: there was no **
	for p < len(pattern) {
		if pattern[p] == "**" {
			p++
			again, from = p, n
			continue
		}
		if n < len(name) {
			if ok, err := path.Match(pattern[p], name[n]); err == nil && ok {
				p, n = p+1, n+1
				continue
			}
		}
		if again < 0 || from >= len(name) {
			return false
		}
		from++
		p, n = again, from
	}
	return true // all of the pattern fits a folder of the path, or the path itself
}
