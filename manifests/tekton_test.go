package manifests

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// task is the part of a Tekton Task that these tests look at.
type task struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Params, Results []struct{ Name, Type string }
		Workspaces      []struct {
			Name     string
			Optional bool
		}
		Steps []struct{ Name, Image, Script string }
	}
}

// tasks reads those of a file, by name.
func tasks(t *testing.T, file string) map[string]task {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("tekton", file))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]task{}
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var one task
		switch err := d.Decode(&one); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		if one.Kind == "Task" {
			all[one.Metadata.Name] = one
		}
	}
}

// script is the script of a step, as Tekton runs it.
func script(t *testing.T, file, name, step string) string {
	t.Helper()
	for _, s := range tasks(t, file)[name].Spec.Steps {
		if s.Name == step {
			return s.Script
		}
	}
	t.Fatalf("no step %s of %s in %s", step, name, file)
	return ""
}

// shells are those that the images of steps have.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{"sh": {"sh"}}
	if path, err := exec.LookPath("busybox"); err == nil {
		all["busybox"] = []string{path, "sh"}
	}
	return all
}

// run runs a script with nothing in its environment but what is given.
func run(t *testing.T, shell []string, script string, env []string, args ...string) (output string, ok bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), shell[0], append(append(shell[1:len(shell):len(shell)], path), args...)...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, env...)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err == nil
}

// clone makes a directory with a clone of these files. A name that ends in a slash is
// a directory, one with an arrow is a symbolic link.
func clone(t *testing.T, files ...string) (source string) {
	t.Helper()
	source = t.TempDir()
	for _, name := range append([]string{"clone/"}, files...) {
		if name != "clone/" {
			name = "clone/" + name
		}
		name, target, link := strings.Cut(name, "→")
		path := filepath.Join(source, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o700)
		default:
			err = os.WriteFile(path, []byte("FROM scratch\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return source
}

func TestDetect(t *testing.T) {
	detect := script(t, "base/detect.yaml", "kovra-detect", "detect")
	const setPath = "Set the path: /build settings, Dockerfile path."
	tests := []struct {
		name       string
		files      []string
		configured string
		context    string
		want       string // the result, or
		refused    string // what the message says
	}{
		{name: "usual", files: []string{"Dockerfile", "Containerfile", "docker/Dockerfile"}, want: "Dockerfile"},
		{name: "Containerfile", files: []string{"Containerfile", "docker/Dockerfile"}, want: "Containerfile"},
		{name: "docker", files: []string{"docker/Dockerfile", "build/Dockerfile"}, want: "docker/Dockerfile"},
		{name: "build", files: []string{"build/Dockerfile", "deploy/Dockerfile"}, want: "build/Dockerfile"},
		{name: "deploy", files: []string{"deploy/Dockerfile", "x.Dockerfile"}, want: "deploy/Dockerfile"},
		{name: "single suffix", files: []string{"web.Dockerfile"}, want: "web.Dockerfile"},
		{name: "single prefix", files: []string{"Dockerfile.prod"}, want: "Dockerfile.prod"},
		{name: "with what it ignores", files: []string{"Dockerfile.prod", "Dockerfile.prod.dockerignore"}, want: "Dockerfile.prod"},
		{name: "name with spaces", files: []string{"our app.Dockerfile"}, want: "our app.Dockerfile"},
		{name: "name like an option", files: []string{"-x.Dockerfile"}, want: "-x.Dockerfile"},
		{name: "directory called so", files: []string{"Dockerfile/", "a.Dockerfile"}, want: "a.Dockerfile"},
		{name: "several", files: []string{"a.Dockerfile", "Dockerfile.b"}, refused: "Several files could be the Dockerfile:\n  a.Dockerfile\n  Dockerfile.b\n" + setPath},
		{name: "none", files: []string{"README"}, refused: "No Dockerfile was found in the repository.\n" + setPath},
		{name: "none, elsewhere", files: []string{"api/Dockerfile", "web/Containerfile"}, refused: "Elsewhere there are:\n  api/Dockerfile\n  web/Containerfile\n" + setPath},
		{name: "newline in a name", files: []string{"a\nb.Dockerfile"}, refused: "must not contain control characters"},
		{name: "newline in a list", files: []string{"a\nb.Dockerfile", "c.Dockerfile"}, refused: "  a?b.Dockerfile\n  c.Dockerfile\n"},
		{name: "variable in a name", files: []string{"$(id).Dockerfile"}, refused: "must not contain control characters"},
		{name: "backquotes in a name", files: []string{"`id`.Dockerfile"}, want: "`id`.Dockerfile"},

		{name: "configured", files: []string{"Dockerfile", "ops/image"}, configured: "ops/image", want: "ops/image"},
		{name: "configured, missing", files: []string{"Dockerfile"}, configured: "ops/image", refused: "There is no file ops/image in the repository. " + setPath},
		{name: "configured, absolute", files: []string{"Dockerfile"}, configured: "/etc/passwd", refused: "not absolute"},
		{name: "configured, up", files: []string{"Dockerfile"}, configured: "a/../../x", refused: `must not go up by ".."`},
		{name: "configured, dots in a name", files: []string{"a..b"}, configured: "a..b", want: "a..b"},
		{name: "configured, like an option", files: []string{"-rf"}, configured: "-rf", want: "-rf"},
		{name: "configured, variable", configured: "$(params.image)", refused: "must not contain"},
		{name: "configured, newline", configured: "a\nb", refused: "must not contain"},

		{name: "context", files: []string{"Dockerfile", "api/Dockerfile"}, context: "api", want: "api/Dockerfile"},
		{name: "context with slashes", files: []string{"Dockerfile", "api/Dockerfile"}, context: "./api/", want: "api/Dockerfile"},
		{name: "context, configured in it", files: []string{"image", "api/image"}, context: "api", configured: "image", want: "api/image"},
		{name: "context, configured outside", files: []string{"ops/image", "api/"}, context: "api", configured: "ops/image", want: "ops/image"},
		{name: "context, none in it", files: []string{"Dockerfile", "api/x"}, context: "api", refused: "No Dockerfile was found in api/.\n" + setPath},
		{name: "context, missing", context: "api", refused: "There is no directory api in the repository."},
		{name: "context, absolute", context: "/etc", refused: "not absolute"},
		{name: "context, up", context: "..", refused: `must not go up by ".."`},
		{name: "context, variable", context: "$HOME", refused: "must not contain"},

		{name: "link out", files: []string{"Dockerfile→/etc/passwd"}, refused: "leads out of the repository"},
		{name: "link up", files: []string{"Dockerfile→../secret"}, refused: "No Dockerfile"},
		{name: "link inside", files: []string{"Dockerfile→ops/image", "ops/image"}, want: "Dockerfile"},
		{name: "directory link out", files: []string{"docker→/etc"}, configured: "docker/passwd", refused: "leads out of the repository"},
		{name: "context link out", files: []string{"api→/etc"}, context: "api", refused: "leads out of the repository"},
		{name: "context link to the clone's neighbour", files: []string{"api→../clone-of-another"}, context: "api", refused: "no directory"},
	}
	for shell, argv := range shells(t) {
		for _, tt := range tests {
			t.Run(shell+"/"+tt.name, func(t *testing.T) {
				source := clone(t, tt.files...)
				result := filepath.Join(t.TempDir(), "result")
				if tt.context == "" {
					tt.context = "."
				}
				out, ok := run(t, argv, detect, []string{
					"SOURCE=" + source, "RESULT=" + result, "CONFIGURED=" + tt.configured, "CONTEXT=" + tt.context,
				})
				got, err := os.ReadFile(result)
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				if string(got) != tt.want || ok != (tt.refused == "") || !strings.Contains(out, tt.refused) {
					t.Errorf("result %q, ok %v, output:\n%s\nwant %q, output with %q", got, ok, out, tt.want, tt.refused)
				}
			})
		}
	}
}

// hostile are values of build arguments that a shell, Tekton or the kubelet would like
// to do something with, as the bot escapes them.
var hostile = []struct{ sent, want string }{
	{"A=a b", "A=a b"},
	{"A=", "A="},
	{`A="';&|<>*?[x]{a,b}~#!`, `A="';&|<>*?[x]{a,b}~#!`},
	{"A=`id`", "A=`id`"},
	{`A=\0044(id)`, "A=$(id)"},
	{`A=\0044\0044`, "A=$$"},
	{`A=\00445`, "A=$5"},
	{`A=\0044{HOME}`, "A=${HOME}"},
	{`A=\0044(params.image)`, "A=$(params.image)"},
	{`A=\0044(tasks.clone.results.COMMIT)`, "A=$(tasks.clone.results.COMMIT)"},
	{`A=\\n\\c\\0044`, `A=\n\c\0044`},
	{"A=--file=/etc/passwd", "A=--file=/etc/passwd"},
	{"A=%s%d", "A=%s%d"},
	{"A=ünï\u2028", "A=ünï\u2028"},
	{"A= trailing ", "A= trailing "},
}

func TestBuildArguments(t *testing.T) {
	builders := []struct{ file, program, flag string }{
		{"buildah/task.yaml", "buildah", "--build-arg\n"},
		{"buildkit/task.yaml", "buildctl", "--opt\nbuild-arg:"},
	}
	for _, b := range builders {
		text := script(t, b.file, "kovra-build-and-push", "build")
		for shell, argv := range shells(t) {
			t.Run(b.program+"/"+shell, func(t *testing.T) {
				// In place of the builder stands a program that writes down its arguments.
				dir, home := t.TempDir(), t.TempDir()
				const fake = "#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$HOME/argv\"\n"
				for _, name := range []string{"buildah", "buildctl", "rootlesskit"} {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(fake), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.WriteFile(filepath.Join(dir, "rootlesskit"), []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
					t.Fatal(err)
				}
				var args []string
				for _, h := range hostile {
					args = append(args, h.sent)
				}
				secrets := t.TempDir()
				if err := os.WriteFile(filepath.Join(secrets, "token"), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
				run(t, argv, text, []string{
					"PATH=" + dir + ":/usr/bin:/bin", "HOME=" + home, "XDG_RUNTIME_DIR=" + home, "IMAGE=r/app:1", "CACHE=",
					"DOCKERFILE=Dockerfile", "CONTEXT=.", "CLONE=/clone", "REGISTRY=", "SECRETS=" + secrets,
					"URL_RESULT=" + home + "/url", "DIGEST_RESULT=" + home + "/digest",
				}, args...)
				data, err := os.ReadFile(filepath.Join(home, "argv"))
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range hostile {
					if !strings.Contains(string(data), b.flag+h.want+"\n") {
						t.Errorf("%q did not arrive as %q", h.sent, h.want)
					}
				}
				if want := "--secret\nid=token,src=" + secrets + "/token\n"; !strings.Contains(string(data), want) {
					t.Errorf("no %q in\n%s", want, data)
				}
			})
		}
	}
}

// TestBuildersAreAlike: one may be taken for the other.
func TestBuildersAreAlike(t *testing.T) {
	buildah := tasks(t, "buildah/task.yaml")["kovra-build-and-push"].Spec
	buildkit := tasks(t, "buildkit/task.yaml")["kovra-build-and-push"].Spec
	for _, diff := range []string{
		cmp.Diff(buildah.Params, buildkit.Params),
		cmp.Diff(buildah.Workspaces, buildkit.Workspaces),
		cmp.Diff(buildah.Results, buildkit.Results),
	} {
		if diff != "" {
			t.Errorf("buildah and buildkit differ:\n%s", diff)
		}
	}
}

// TestNothingIsWrittenIntoScripts: what Tekton substitutes in a script is run.
func TestNothingIsWrittenIntoScripts(t *testing.T) {
	variable := regexp.MustCompile(`\$\((params|tasks|results|workspaces|context)\b|set -[a-z]*x`)
	for _, file := range []string{"base/clone.yaml", "base/detect.yaml", "base/deploy.yaml", "buildah/task.yaml", "buildkit/task.yaml"} {
		for name, one := range tasks(t, file) {
			for _, step := range one.Spec.Steps {
				if found := variable.FindString(step.Script); found != "" {
					t.Errorf("step %s of %s: %q", step.Name, name, found)
				}
			}
		}
	}
}

// TestImagesAreReplaced: the one place where an administrator names images.
func TestImagesAreReplaced(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl; on the real cluster every installation replaces images in the same way")
	}
	for builder, image := range map[string]string{"buildah": "quay.io/buildah/stable", "buildkit": "docker.io/moby/buildkit"} {
		out := kustomize(t, "resources: [base]\ncomponents: ["+builder+"]\nimages:\n"+
			"  - {name: docker.io/alpine/git, newName: mirror/git, newTag: '1'}\n"+
			"  - {name: docker.io/alpine/k8s, newName: mirror/k8s, newTag: '1'}\n"+
			"  - {name: "+image+", newName: mirror/builder, newTag: '1'}\n")
		for d := yaml.NewDecoder(strings.NewReader(out)); ; {
			var one task
			if err := d.Decode(&one); err != nil {
				break
			}
			for _, step := range one.Spec.Steps {
				if !strings.HasPrefix(step.Image, "mirror/") {
					t.Errorf("%s: step %s of %s has image %s", builder, step.Name, one.Metadata.Name, step.Image)
				}
			}
		}
	}
}

// kustomize renders a kustomization beside copies of ours.
func kustomize(t *testing.T, kustomization string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("tekton")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "kubectl", "kustomize", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
