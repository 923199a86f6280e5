package apply

import (
	"go.yaml.in/yaml/v3"

	"kovra.dev/chatops/internal/kovra"
)

// builds reads the settings of an app's builds. What is not written has its default.
func (d *decoder) builds(node *yaml.Node, app string) *Builds {
	s := kovra.DefaultBuildSettings(app)
	b := &Builds{Line: node.Line, kept: map[string]int{}}
	lines := map[kovra.SettingField]int{}
	what := "builds of " + app
	before := len(d.all)
	text := func(key string, f kovra.SettingField, into *string) field {
		return field{key, func(v *yaml.Node) {
			lines[f] = v.Line
			if got, ok := d.text(v, key+" of "+app); ok {
				*into = got
			}
		}}
	}
	truth := func(key string, f kovra.SettingField, into *bool) field {
		return field{key, func(v *yaml.Node) { lines[f], *into = v.Line, d.truth(v, key+" of "+app) }}
	}
	list := func(key string, f kovra.SettingField, into *[]string) field {
		return field{key, func(v *yaml.Node) { lines[f], *into = v.Line, d.list(v, key+" of "+app) }}
	}
	d.fields(node, what, []field{
		truth("enabled", kovra.FieldEnabled, &s.Enabled),
		text("branch", kovra.FieldBranch, &s.Branch),
		text("dockerfile", kovra.FieldDockerfile, &s.Dockerfile),
		text("context", kovra.FieldContext, &s.Context),
		truth("auto_deploy", kovra.FieldAutoDeploy, &s.AutoDeploy),
		{"arguments", func(v *yaml.Node) { lines[kovra.FieldArgs], s.Args = v.Line, d.arguments(v, app, b.kept) }},
		{"deploy", func(v *yaml.Node) {
			lines[kovra.FieldDeployment] = v.Line
			d.fields(v, "deploy of "+app, []field{
				text("namespace", kovra.FieldNamespace, &s.Target.Namespace),
				text("name", kovra.FieldDeployment, &s.Target.Deployment),
				text("container", kovra.FieldContainer, &s.Target.Container),
				truth("allow_managed", kovra.FieldAllowManaged, &s.AllowManaged),
			})
		}},
		truth("supersede", kovra.FieldSupersede, &s.Supersede),
		text("tags", kovra.FieldTags, &s.Tags),
		list("paths", kovra.FieldPaths, &s.Paths),
		list("secrets", kovra.FieldSecrets, &s.Secrets),
		text("namespace", kovra.FieldBuildNamespace, &s.Namespace),
		text("service_account", kovra.FieldAccount, &s.ServiceAccount),
		text("registry", kovra.FieldRegistry, &s.Registry),
	})
	b.Settings = s
	if len(d.all) > before {
		return b // what could not be read would be told twice
	}
	for _, p := range s.Check() {
		line := lines[p.Field]
		if line == 0 {
			line = node.Line
		}
		d.add(line, "%s: %s", what, p.Text)
	}
	return b
}

// arguments reads build arguments; one without a value keeps the one that it has, so that no secret needs to be written down.
func (d *decoder) arguments(node *yaml.Node, app string, kept map[string]int) (args []kovra.BuildArg) {
	d.entries(node, "arguments of "+app, func(key, value *yaml.Node) {
		a := kovra.BuildArg{Key: key.Value}
		if isNull(value) {
			kept[a.Key] = key.Line
		} else {
			a.Value, _ = d.text(value, "the argument "+a.Key+" of "+app)
		}
		args = append(args, a)
	})
	return args
}
