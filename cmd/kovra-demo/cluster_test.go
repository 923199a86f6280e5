package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/tektonsim"
)

func (d demo) say(text string) {
	d.t.Helper()
	if s := d.act("api/say", map[string]any{"user": alice, "channel": deploys, "text": text}); s.Error != "" {
		d.t.Fatalf("%s: %s", text, s.Error)
	}
}

// tells waits until a card of #deploys shows all of the words.
func (d demo) tells(words ...string) {
	d.t.Helper()
	d.until(fmt.Sprintf("a card shows %q", words), func() bool {
		for _, m := range d.see(alice).cards(deploys) {
			all := true
			for _, one := range words {
				all = all && strings.Contains(m.says(), one)
			}
			if all {
				return true
			}
		}
		return false
	})
}

// What the panel says of the next build comes to pass once, and only through Kovra.
func TestFates(t *testing.T) {
	d := start(t, "-no-story")
	d.link()
	finish := func(run string) { d.act("api/gitlab/cluster", map[string]any{"do": "finish", "run": run}) }
	for i, c := range []struct{ fate, want string }{
		{"break", "*Failed*"}, {"dockerfile", "*Failed*"}, {"denied", "*Failed*"}, {"well", "*Succeeded*"},
	} {
		d.act("api/gitlab/cluster", map[string]any{"do": c.fate})
		if got := d.lab().Cluster.Next; got != c.fate {
			t.Errorf("chosen is %s, want %s", got, c.fate)
		}
		d.say("/build trigger web")
		d.until("it is made", func() bool { return len(d.lab().Cluster.Runs) == i+1 })
		if got := d.lab().Cluster.Next; got != "well" {
			t.Errorf("after %s comes %s", c.fate, got)
		}
		finish(d.lab().Cluster.Runs[0].Name)
		d.tells(fmt.Sprintf("build #%d", i+1), c.want)
	}
	d.act("api/gitlab/cluster", map[string]any{"do": "wait"})
	d.say("/build trigger web")
	d.tells("build #5", "Insufficient memory")
	run := d.lab().Cluster.Runs[0]
	if !run.Held || run.Status != "pending" {
		t.Errorf("it is %+v", run)
	}
	d.act("api/gitlab/cluster", map[string]any{"do": "release", "run": run.Name})
	d.tells("build #5", "*Building*")
	finish(run.Name)
	d.tells("build #5", "*Succeeded*")
	for _, body := range []map[string]any{{"do": "melt"}, {"do": "melt", "run": run.Name}} {
		if status, _, _ := d.do("POST", "api/gitlab/cluster", body); status != http.StatusUnprocessableEntity {
			t.Errorf("%v: status %d", body, status)
		}
	}
}

// With a cluster of the visitor's, builds clone a repository that exists, at its commits.
func TestRealCluster(t *testing.T) {
	const sha = "0123456789abcdef0123456789abcdef01234567"
	sim := tektonsim.New(tektonsim.Options{})
	sim.AddNamespace(buildNamespace)
	cluster := httptest.NewServer(sim)
	t.Cleanup(cluster.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := sim.WriteKubeconfig(kubeconfig, cluster.URL, nil); err != nil {
		t.Fatal(err)
	}
	git := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/team/shop.git/info/refs" || r.URL.Query().Get("service") != "git-upload-pack" {
			http.NotFound(rw, r)
			return
		}
		for _, line := range []string{"# service=git-upload-pack\n", "", sha + " HEAD\x00multi_ack symref=HEAD:refs/heads/main\n", sha + " refs/heads/main\n", sha + " refs/tags/v1\n", ""} {
			if line == "" {
				fmt.Fprint(rw, "0000")
				continue
			}
			fmt.Fprintf(rw, "%04x%s", len(line)+4, line)
		}
	}))
	t.Cleanup(git.Close)

	d := start(t, "-no-story", "-kubeconfig", kubeconfig, "-registry", "registry.example.com/own", "-repository", git.URL+"/team/shop.git")
	lab := d.lab()
	if lab.Cluster != nil || len(lab.Projects) != 3 || lab.Projects[2].Path != "group/shop" {
		t.Fatalf("the panel shows %+v", lab)
	}
	d.say("/kovra link shop group/shop")
	d.until("the webhook is there", func() bool { return d.lab().Projects[2].Hooks == 1 })
	d.say("/build trigger shop")
	d.until("a build is made", func() bool { return len(sim.Runs()) == 1 })
	p := sim.Runs()[0].Params
	if p["repo-url"] != git.URL+"/team/shop.git" || p["revision"] != sha || p["image"] != "registry.example.com/own/shop:"+sha[:8] {
		t.Errorf("it builds %v", p)
	}
	push := map[string]any{"project": lab.Projects[2].ID, "branch": "gone", "title": "x"}
	if status, raw, _ := d.do("POST", "api/gitlab/push", push); status != http.StatusUnprocessableEntity || !strings.Contains(string(raw), `no branch \"gone\"`) {
		t.Errorf("push to no branch: status %d: %s", status, raw)
	}
	push["branch"] = "main"
	d.act("api/gitlab/push", push)
}

func TestRealFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-kubeconfig", "x"},
		{"-registry", "x", "-repository", "https://git.example.com/a/b"},
	} {
		if _, err := parse(args, t.Output()); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
	for _, address := range []string{"git@git.example.com:a/b.git", "https://", "https://name:word@git.example.com/a", "https://git.example.com", "file:///a/b"} {
		if got, err := newReal(address); err == nil {
			t.Errorf("%q is taken as %q", address, got.url)
		}
	}
	for _, wrong := range []string{"xxxx", "0009ab", "00"} {
		if got, err := readHeads(strings.NewReader(wrong)); err == nil {
			t.Errorf("%q is read as %v", wrong, got)
		}
	}
}
