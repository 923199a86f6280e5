package config

import "strings"

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Setting string // the variable that it is about; "": the configuration file as a whole
	Text    string // what is wrong and, behind "; expected: ", what is expected; never a secret
	Where   string // the file, and the line in it; "": in the environment
	Given   bool   // the variable has a value, right or wrong
	Known   bool   // there is such a variable
}

// expected comes between the two halves of a problem's text.
const expected = "; expected: "

// String names the variable, or the file, and says what is wrong.
func (p *Problem) String() string {
	switch {
	case p.Setting == "":
		return "configuration file " + p.Where + ": " + p.Text
	case p.Where == "":
		return p.Setting + ": " + p.Text
	}
	return p.Setting + ": " + p.Text + " (" + p.Where + ")"
}

// Reason is what is wrong, and Expected what was expected instead, which may be empty. Both
// are without full stop.
func (p *Problem) Reason() string {
	reason, _, _ := strings.Cut(p.Text, expected)
	return reason
}

// Expected is described at [Problem.Reason].
func (p *Problem) Expected() string {
	_, want, _ := strings.Cut(p.Text, expected)
	return want
}

// Survey reads the configuration as [Load] does, and gives it also where something is wrong: a
// setting with a problem is then empty. It is for those who look at an installation, never for
// those who run it.
func Survey(environ []string, file string) (*Config, []*Problem) {
	l := loader{values: map[string]source{}, files: map[string]string{}}
	if file != "" {
		l.readFile(file)
	}
	l.readEnviron(environ)
	c := &Config{InCluster: inCluster(environ), Proxy: proxyOf(environ)}
	for _, s := range settings {
		l.apply(c, s)
	}
	l.checkWebhookAuth(c)
	l.checkSlackAuth(c)
	l.checkRegistry(c)
	l.checkOAuth(c)
	for _, p := range l.problems {
		p.Known, p.Given = known(p.Setting), l.given(p.Setting)
	}
	c.files = l.files
	return c, l.problems
}
