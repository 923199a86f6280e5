package tekton_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/tekton"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// validate judges a PipelineRun as Tekton's webhook does.
func validate(ctx context.Context, t *testing.T, run *v1.PipelineRun) {
	t.Helper()
	judged := run.DeepCopy()
	judged.SetDefaults(ctx)
	if err := judged.Validate(apis.WithinCreate(ctx)); err != nil {
		t.Errorf("Tekton refuses it: %v", err)
	}
}

func TestPipelineRunsAreAsWritten(t *testing.T) {
	full := build(12)
	full.Title = "Fix the \"door\" `rm -rf` $(boom)\xff"
	full.Spec.Branch = "feature/$(params.image)"
	full.Spec.Dockerfile, full.Spec.Context = "docker/Dockerfile", "services/web"
	full.Spec.Args = []kovra.BuildArg{{Key: "GREETING", Value: `it's "5$" & $$HOME; rm -rf / \0044(x)`}, {Key: "EMPTY"}}
	full.Spec.Secrets = []string{"npm-token", "web.env"}
	full.Spec.Namespace, full.Spec.ServiceAccount = "team-web-builds", "team-web"
	deploy := deployment(5)
	deploy.AllowManaged, deploy.Target.Container = true, "app"
	for _, c := range []struct {
		golden string
		make   func() (*v1.PipelineRun, error)
	}{
		{"build.yaml", func() (*v1.PipelineRun, error) { return tekton.BuildRun(tekton.Options{}, build(7)) }},
		{"build_full.yaml", func() (*v1.PipelineRun, error) {
			return tekton.BuildRun(tekton.Options{CAConfigMap: "kovra-ca", StorageSize: "20Gi", StorageClass: "fast", FSGroup: 1000, UserNamespaces: true}, full)
		}},
		{"build_behind_a_wall.yaml", func() (*v1.PipelineRun, error) {
			return tekton.BuildRun(tekton.Options{CA: []byte("PEM"), Proxy: tekton.Proxy{HTTPS: "http://proxy:3128", No: ".example.com"}}, build(7))
		}},
		{"build_open.yaml", func() (*v1.PipelineRun, error) {
			return tekton.BuildRun(tekton.Options{NoGitSecret: true, NoRegistrySecret: true}, build(7))
		}},
		{"deploy.yaml", func() (*v1.PipelineRun, error) { return tekton.DeployRun(tekton.Options{}, deployment(3)) }},
		{"deploy_full.yaml", func() (*v1.PipelineRun, error) { return tekton.DeployRun(tekton.Options{}, deploy) }},
	} {
		run, err := c.make()
		if err != nil {
			t.Fatalf("%s: %v", c.golden, err)
		}
		validate(t.Context(), t, run)
		got, err := yaml.Marshal(run)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", c.golden)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.golden, diff)
		}
	}
}

// unescape does to an argument what the shell of the Task does: printf %b.
func unescape(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\0044`, `$`).Replace(s)
}

func FuzzPipelineRun(f *testing.F) {
	f.Add("web", "main", "Dockerfile", "", "KEY", "value", "npm-token", "builds", "builder", "registry.example.com/team", int64(1))
	f.Add("a-b", "feature/$(x)", "d/$x", "a b", "K", `$$$'";|&`+"`id`", "a.b", "", "", "", int64(1<<62))
	f.Add("x", "v1\xff", "", "", "_", "$", "", "n", "s.t", "r:5000", int64(9))
	f.Fuzz(func(t *testing.T, app, branch, dockerfile, dir, key, value, secret, ns, account, registry string, id int64) {
		s := kovra.DefaultBuildSettings(app)
		s.Branch, s.Dockerfile, s.Context, s.Namespace, s.ServiceAccount, s.Registry = branch, dockerfile, dir, ns, account, registry
		s.Args = []kovra.BuildArg{{Key: key, Value: value}}
		if secret != "" && secret != "kovra-git" && secret != "kovra-registry" {
			s.Secrets = []string{secret}
		}
		// An app whose name ends in - has no images: no part of a repository's name may.
		if kovra.CheckAppName(app) != nil || strings.HasSuffix(app, "-") || len(s.Check()) > 0 || id <= 0 {
			return
		}
		b := kovra.NewBuild(s, 1, branch, false, kovra.Commit{SHA: commit, Title: value})
		b.ID, b.Name = id, kovra.RunName(app, "b", id, "abcdefgh")
		b.Spec.CloneURL, b.Spec.Image = "https://gitlab.example.com/team/web.git", "registry.example.com/team/"+app+":1a2b3c4d"
		run, err := tekton.BuildRun(tekton.Options{}, b)
		if err != nil {
			t.Fatalf("settings that are valid make no PipelineRun: %v", err)
		}
		validate(t.Context(), t, run)
		if bad := validation.IsDNS1123Label(run.Name); bad != nil || len(run.Name) > 40 {
			t.Errorf("name %q: %v", run.Name, bad)
		}
		for k, v := range run.Labels {
			if bad := append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...); bad != nil {
				t.Errorf("label %s=%q: %v", k, v, bad)
			}
		}
		for _, p := range run.Spec.Params {
			if strings.Contains(p.Value.StringVal, "$(") {
				t.Errorf("parameter %s would be expanded: %q", p.Name, p.Value.StringVal)
			}
			for _, arg := range p.Value.ArrayVal {
				if got, want := unescape(arg), key+"="+value; got != want || strings.Contains(arg, "$") {
					t.Errorf("the builder gets %q of %q, want %q", got, arg, want)
				}
			}
		}
	})
}
