package apply

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"kovra.dev/chatops/bot"
	"kovra.dev/chatops/internal/kovra"
)

// keptNote stands beside a build argument whose value is left out.
const keptNote = "its value is not written down; without one it stays what it is"

// Export writes the state as a file that [Decode] reads: applied at once it changes nothing. It is sorted, so that the same
// state gives the same text. names are those of channels by id, as far as they are known; a channel without one, or with one
// that another channel has too, is written by its id. Values of build arguments that look like secrets are left out.
func Export(now State, names map[string]string) ([]byte, error) {
	byName := idsByName(names)
	apps := mapping()
	for _, a := range now.Apps {
		app := mapping()
		if p := now.Projects[a.Project]; a.Project != 0 {
			app.put("project", scalar(p.Path))
		}
		if channels := exportChannels(now.Subscriptions[a.Name], names, byName); len(channels.Content) > 0 {
			app.put("channels", channels)
		}
		if builds := exportBuilds(now.settings(a.Name)); len(builds.Content) > 0 {
			app.put("builds", builds)
		}
		apps.put(a.Name, app)
	}
	top := mapping()
	top.put("apps", apps)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(top.Node); err != nil {
		return nil, fmt.Errorf("write the file: %w", err)
	}
	return out.Bytes(), nil
}

// node is a YAML mapping while it is written.
type node struct{ *yaml.Node }

func mapping() node { return node{&yaml.Node{Kind: yaml.MappingNode}} }

// put adds an entry; a mapping without entries is written as {}.
func (n node) put(key string, value node) {
	n.Content = append(n.Content, scalar(key).Node, value.Node)
}

// scalar is a text, whatever it looks like.
func scalar(v string) node {
	n := &yaml.Node{}
	n.SetString(v)
	return node{n}
}

func truth(v bool) node {
	return node{&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}}
}

// texts is a list, or its only entry.
func texts(values []string) node {
	if len(values) == 1 {
		return scalar(values[0])
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, v := range values {
		list.Content = append(list.Content, scalar(v).Node)
	}
	return node{list}
}

func exportChannels(subs []kovra.Subscription, names map[string]string, byName map[string][]string) node {
	words := map[string][]string{}
	for _, s := range subs {
		key := s.Channel
		if name := names[s.Channel]; name != "" && isChannelName(name) && len(byName[name]) == 1 {
			key = "#" + name
		}
		words[key] = append(words[key], bot.FilterWords(s.Filter))
	}
	out := mapping()
	for _, key := range sortedKeys(words) {
		slices.Sort(words[key])
		out.put(key, texts(words[key]))
	}
	return out
}

func sortedKeys(m map[string][]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// exportBuilds writes what differs from the defaults.
func exportBuilds(s kovra.BuildSettings) node {
	usual := kovra.DefaultBuildSettings(s.App)
	out, deploy := mapping(), mapping()
	text := func(into node, key, v, usual string) {
		if v != usual {
			into.put(key, scalar(v))
		}
	}
	flag := func(into node, key string, v, usual bool) {
		if v != usual {
			into.put(key, truth(v))
		}
	}
	list := func(key string, v []string) {
		if len(v) > 0 {
			out.put(key, texts(v))
		}
	}
	flag(out, "enabled", s.Enabled, usual.Enabled)
	text(out, "branch", s.Branch, usual.Branch)
	text(out, "dockerfile", s.Dockerfile, "")
	text(out, "context", s.Context, "")
	if len(s.Args) > 0 {
		out.put("arguments", exportArguments(s.Args))
	}
	text(deploy, "namespace", s.Target.Namespace, "")
	text(deploy, "name", s.Target.Deployment, "")
	text(deploy, "container", s.Target.Container, "")
	flag(deploy, "allow_managed", s.AllowManaged, usual.AllowManaged)
	if len(deploy.Content) > 0 {
		out.put("deploy", deploy)
	}
	flag(out, "auto_deploy", s.AutoDeploy, usual.AutoDeploy)
	flag(out, "supersede", s.Supersede, usual.Supersede)
	text(out, "tags", s.Tags, "")
	list("paths", s.Paths)
	list("secrets", s.Secrets)
	text(out, "namespace", s.Namespace, "")
	text(out, "service_account", s.ServiceAccount, "")
	text(out, "registry", s.Registry, "")
	return out
}

func exportArguments(args []kovra.BuildArg) node {
	out := mapping()
	args = slices.SortedFunc(slices.Values(args), func(a, b kovra.BuildArg) int { return strings.Compare(a.Key, b.Key) })
	for _, a := range args {
		if a.Secret() {
			out.put(a.Key, node{&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", LineComment: keptNote}})
			continue
		}
		out.put(a.Key, scalar(a.Value))
	}
	return out
}
