package kovra

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Changes says what is different from the old settings, a line each, for people and for the record. Values of build arguments
// are not shown: somebody may have put a secret there.
func (s BuildSettings) Changes(old BuildSettings) []string {
	all := []string{
		changed("Automatic builds", onOff(old.Enabled), onOff(s.Enabled)),
		changed("Branch", old.Branch, s.Branch),
		changed("Dockerfile path", cmp.Or(old.Dockerfile, "auto-detected"), cmp.Or(s.Dockerfile, "auto-detected")),
		changed("Auto-deploy", onOff(old.AutoDeploy), onOff(s.AutoDeploy)),
		changed("Auto-deploy paused", yesNo(old.Paused), yesNo(s.Paused)),
	}
	all = append(all, changedArgs(old.Args, s.Args)...)
	all = append(
		all,
		changed("Deployment", old.Target.String(), s.Target.String()),
		changed("Allow managed Deployments", yesNo(old.AllowManaged), yesNo(s.AllowManaged)),
		changed("Supersede pending builds", onOff(old.Supersede), onOff(s.Supersede)),
		changed("Build tags", cmp.Or(old.Tags, "none"), cmp.Or(s.Tags, "none")),
		changed("Context directory", cmp.Or(old.Context, "the root"), cmp.Or(s.Context, "the root")),
		changed("Only when these paths change", listed(old.Paths, "any"), listed(s.Paths, "any")),
		changed("Build secrets", listed(old.Secrets, "none"), listed(s.Secrets, "none")),
		changed("Build namespace", cmp.Or(old.Namespace, "the default"), cmp.Or(s.Namespace, "the default")),
		changed("Service account", cmp.Or(old.ServiceAccount, "the default"), cmp.Or(s.ServiceAccount, "the default")),
		changed("Image prefix", cmp.Or(old.Registry, "the default"), cmp.Or(s.Registry, "the default")),
	)
	return slices.DeleteFunc(all, func(line string) bool { return line == "" })
}

func changed(what, from, to string) string {
	if from == to {
		return ""
	}
	return fmt.Sprintf("%s: %s → %s", what, from, to)
}

// changedArgs tells which arguments are new, have another value, or are gone.
func changedArgs(old, now []BuildArg) (lines []string) {
	for _, a := range now {
		i := slices.IndexFunc(old, func(o BuildArg) bool { return o.Key == a.Key })
		switch {
		case i < 0:
			lines = append(lines, fmt.Sprintf("Build argument %s: added", a.Key))
		case old[i].Value != a.Value:
			lines = append(lines, fmt.Sprintf("Build argument %s: another value", a.Key))
		}
	}
	for _, o := range old {
		if !slices.ContainsFunc(now, func(a BuildArg) bool { return a.Key == o.Key }) {
			lines = append(lines, fmt.Sprintf("Build argument %s: removed", o.Key))
		}
	}
	return lines
}

func onOff(v bool) string {
	if v {
		return "on"
	}
	return "off"
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func listed(all []string, none string) string { return cmp.Or(strings.Join(all, ", "), none) }
