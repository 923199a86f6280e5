package bot

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kovra.dev/chatops/internal/kovra"
)

// Target is what the words of a command name.
type Target struct {
	// App is the application. It is "" where a pasted URL names the project instead
	// (see Project), where a build names it, and where the command is about all apps.
	App string
	Ref string
	ID  int64 // of a pipeline or a job, as GitLab counts; of a build, as we do
	// Project is a project's path or id: the words of link, or the project of a pasted URL.
	Project string
	// Site is scheme and host of a pasted URL, "" when none was pasted. Where GitLab
	// lives below a path, Project still has that path in front.
	Site string
}

// Choose is the error that asks which app is meant.
type Choose struct {
	Apps    []string // sorted
	Command Command
}

// Error is the question.
func (c *Choose) Error() string { return saysChoose }

var (
	pipelineURL = regexp.MustCompile(`^/(.+?)/-/pipelines/([0-9]+)(?:/.*)?$`)
	jobURL      = regexp.MustCompile(`^/(.+?)/-/jobs/([0-9]+)(?:/.*)?$`)
	projectPath = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]*(/[A-Za-z0-9_.][A-Za-z0-9_.-]*)+$`)
	number      = regexp.MustCompile(`^#?[0-9]{1,18}$`)
)

// Resolve tells the words of the command apart. apps are all names that the asker may
// see, channelApps those that the channel is subscribed to.
//
// A single word is an app if one is called so, else a ref or an id; an app that is left
// out is the only one of the channel. Where that leaves a choice the error is a
// [*Choose]; else errors are [kovra.Error]s of kind Invalid or NotFound, with the
// nearest app where one is near. An id that came as a URL names its project, and App
// stays empty unless it was given too.
func (c Command) Resolve(apps, channelApps []string) (Target, error) {
	s, _ := specOf(c.Group, c.Verb)
	switch s.shape {
	case shapeRef:
		return c.resolveRef(apps, channelApps)
	case shapePipeline, shapeJob:
		return c.resolveID(s, apps, channelApps)
	case shapeBuild:
		return c.resolveBuild(s, apps)
	case shapeApp:
		app, err := c.app(c.Words, apps, channelApps)
		if err != nil && c.Group == GroupBuild && c.Verb == VerbList && len(c.Words) == 1 {
			err = c.notAnApp(err, apps)
		}
		return Target{App: app}, err
	case shapeMaybeApp:
		if len(c.Words) == 0 {
			return Target{}, nil
		}
		app, err := c.app(c.Words, apps, channelApps)
		return Target{App: app}, err
	case shapeUnsubscribe:
		if len(c.Words) == 0 && c.Subscription != 0 {
			return Target{}, nil // it knows its app
		}
		app, err := c.app(c.Words, apps, channelApps)
		return Target{App: app}, err
	case shapeNotify:
		return Target{}, c.checkNotify()
	case shapeWhy:
		app, err := c.app(c.Words[1:], apps, channelApps)
		return Target{App: app}, err
	case shapeNewApp:
		app := strings.ToLower(c.Words[0])
		return Target{App: app}, kovra.CheckAppName(app)
	case shapeLink:
		return c.resolveLink(s, apps, channelApps)
	case shapeSwitch:
		if len(c.Words) > 0 && c.Words[0] != switchOn && c.Words[0] != switchOff {
			return Target{}, kovra.Errorf(kovra.Invalid, saysBadSwitch, c.Words[0], s.usageLine(), s.example)
		}
		return Target{}, nil
	default:
		return Target{}, nil
	}
}

// named is the word of the command that may be the name of an app there is; "": none. It may turn out to be something else.
func (c Command) named() string {
	s, _ := specOf(c.Group, c.Verb)
	at := 0
	switch s.shape {
	case shapeNone, shapeNewApp, shapeLink, shapeSwitch, shapeNotify:
		return ""
	case shapeWhy:
		at = 1
	default:
	}
	if len(c.Words) <= at || kovra.CheckAppName(strings.ToLower(c.Words[at])) != nil {
		return ""
	}
	return strings.ToLower(c.Words[at])
}

func (c Command) resolveRef(apps, channelApps []string) (Target, error) {
	switch len(c.Words) {
	case 0:
		app, err := c.app(nil, apps, channelApps)
		return Target{App: app}, err
	case 1:
		if app, ok := known(c.Words[0], apps); ok {
			return Target{App: app}, nil
		}
		if len(channelApps) != 1 {
			if _, near := nearest(c.Words[0], apps); near {
				return Target{}, unknownApp(c.Words[0], apps)
			}
		}
		app, err := c.app(nil, apps, channelApps)
		return Target{App: app, Ref: c.Words[0]}, err
	default:
		app, err := c.app(c.Words[:1], apps, channelApps)
		if _, near := nearest(c.Words[0], apps); err != nil && !near && c.Verb == VerbList {
			if _, near = nearestSpec(GroupPipeline, c.Words[0]); near {
				err = unknownVerb(GroupPipeline, c.Words[0]) // a misspelt command, not an app
			}
		}
		return Target{App: app, Ref: c.Words[1]}, err
	}
}

func (c Command) resolveID(s spec, apps, channelApps []string) (Target, error) {
	word := c.Words[len(c.Words)-1]
	t, err := parseID(word, s)
	if err != nil {
		if app, ok := known(word, apps); ok && len(c.Words) == 1 {
			return Target{}, kovra.Errorf(kovra.Invalid, saysAppButNoID, app, s.needs, s.example)
		}
		return Target{}, err
	}
	if len(c.Words) == 1 && t.Project != "" {
		return t, nil
	}
	t.App, err = c.app(c.Words[:len(c.Words)-1], apps, channelApps)
	return t, err
}

// resolveBuild reads the number of a build. Builds are numbered through all apps, so the app is
// needed by nobody; where it is given it is held to.
func (c Command) resolveBuild(s spec, apps []string) (Target, error) {
	word := c.Words[len(c.Words)-1]
	if app, ok := known(word, apps); ok && len(c.Words) == 1 && !number.MatchString(word) {
		return Target{}, kovra.Errorf(kovra.Invalid, saysAppButNoID, app, s.needs, s.example)
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(word, "#"), 10, 64)
	if err != nil || id <= 0 || !number.MatchString(word) {
		return Target{}, kovra.Errorf(kovra.Invalid, saysBadBuild, word, s.example)
	}
	t := Target{ID: id}
	if len(c.Words) > 1 {
		t.App, err = c.app(c.Words[:1], apps, nil)
	}
	return t, err
}

// notAnApp says what a word after /build may have meant that is no app: a build, or a command.
func (c Command) notAnApp(err error, apps []string) error {
	word := c.Words[0]
	_, nearApp := nearest(word, apps)
	_, nearVerb := nearestSpec(GroupBuild, word)
	switch {
	case number.MatchString(word):
		return kovra.Errorf(kovra.Invalid, saysBuildAlone, strings.TrimPrefix(word, "#"))
	case !nearApp && nearVerb:
		return unknownVerb(GroupBuild, word)
	default:
		return err
	}
}

func (c Command) resolveLink(s spec, apps, channelApps []string) (Target, error) {
	word := c.Words[len(c.Words)-1]
	project, site, ok := ParseProject(word)
	if !ok {
		if len(c.Words) == 1 {
			return Target{}, kovra.Errorf(kovra.Invalid, saysTooFew, s.needs, s.usageLine(), s.example)
		}
		return Target{}, kovra.Errorf(kovra.Invalid, saysBadProject, word)
	}
	t := Target{Project: project, Site: site}
	if len(c.Words) == 1 {
		if number.MatchString(word) {
			return Target{}, kovra.Errorf(kovra.Invalid, saysTooFew, s.needs, s.usageLine(), s.example)
		}
		if len(channelApps) == 0 {
			return Target{}, kovra.Errorf(kovra.Invalid, saysTooFew, "Which app?", s.usageLine(), s.example)
		}
		app, err := c.app(nil, apps, channelApps)
		t.App = app
		return t, err
	}
	t.App = strings.ToLower(c.Words[0])
	return t, kovra.CheckAppName(t.App)
}

// app reads the app from at most one word, or takes the channel's.
func (c Command) app(words, apps, channelApps []string) (string, error) {
	if len(words) > 0 {
		if app, ok := known(words[0], apps); ok {
			return app, nil
		}
		return "", unknownApp(words[0], apps)
	}
	choices := channelApps
	if len(choices) == 0 {
		choices = apps
	}
	choices = slices.Sorted(slices.Values(choices))
	switch {
	case len(channelApps) == 1:
		return channelApps[0], nil
	case len(choices) == 0:
		return "", kovra.Errorf(kovra.NotFound, saysNoApps)
	default:
		return "", &Choose{Apps: choices, Command: c}
	}
}

func known(word string, apps []string) (string, bool) {
	word = strings.ToLower(word)
	return word, slices.Contains(apps, word)
}

func unknownApp(word string, apps []string) error {
	if near, ok := nearest(word, slices.Sorted(slices.Values(apps))); ok {
		return kovra.Errorf(kovra.NotFound, saysNearApp, word, near)
	}
	return kovra.Errorf(kovra.NotFound, saysUnknownApp, word)
}

// parseID reads 123, #123 or a pasted URL of what the command is about.
func parseID(word string, s spec) (Target, error) {
	if number.MatchString(word) {
		id, err := strconv.ParseInt(strings.TrimPrefix(word, "#"), 10, 64)
		if err != nil || id == 0 {
			return Target{}, kovra.Errorf(kovra.Invalid, saysBadID, word, s.example)
		}
		return Target{ID: id}, nil
	}
	want, other, otherWord := pipelineURL, jobURL, "job"
	if s.shape == shapeJob {
		want, other, otherWord = jobURL, pipelineURL, "pipeline"
	}
	u, ok := parseURL(word)
	if !ok {
		return Target{}, kovra.Errorf(kovra.Invalid, saysBadID, word, s.example)
	}
	if m := want.FindStringSubmatch(u.Path); m != nil {
		id, err := strconv.ParseInt(m[2], 10, 64)
		if err == nil && id > 0 {
			return Target{ID: id, Project: m[1], Site: u.Scheme + "://" + u.Host}, nil
		}
	}
	if other.MatchString(u.Path) {
		return Target{}, kovra.Errorf(kovra.Invalid, saysOtherURL, otherWord, s.needs, s.example)
	}
	return Target{}, kovra.Errorf(kovra.Invalid, saysBadID, word, s.example)
}

func looksLikeID(word string) bool {
	if number.MatchString(word) {
		return true
	}
	u, ok := parseURL(word)
	return ok && (pipelineURL.MatchString(u.Path) || jobURL.MatchString(u.Path))
}

func parseURL(word string) (*url.URL, bool) {
	u, err := url.Parse(word)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, false
	}
	return u, true
}

// ParseProject understands a project as people name it: a path, an id, the address of
// any of its pages, or what git clones from. site is "" unless a host was named.
func ParseProject(word string) (project, site string, ok bool) {
	if u, isURL := parseURL(word); isURL {
		path, _, _ := strings.Cut(u.Path, "/-/")
		path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
		return path, u.Scheme + "://" + u.Host, projectPath.MatchString(path)
	}
	if rest, isSSH := strings.CutPrefix(word, "git@"); isSSH {
		host, path, _ := strings.Cut(rest, ":")
		path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
		return path, "https://" + host, projectPath.MatchString(path)
	}
	if number.MatchString(word) {
		return strings.TrimPrefix(word, "#"), "", true
	}
	path := strings.TrimSuffix(strings.Trim(word, "/"), ".git")
	return path, "", projectPath.MatchString(path)
}

// checkNotify wants one of the choices, and nobody else's name before it.
func (c Command) checkNotify() error {
	n := kovra.Notify(c.Words[len(c.Words)-1])
	whose := len(c.Words) == 1 || c.Words[0] == "me"
	if !whose || n != kovra.NotifyOff && n != kovra.NotifyFailures && n != kovra.NotifyAll {
		return kovra.Errorf(kovra.Invalid, saysBadNotify)
	}
	return nil
}
