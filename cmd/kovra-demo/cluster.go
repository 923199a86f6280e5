package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kovra.dev/chatops/internal/tektonsim"
)

// What the simulated cluster has.
const (
	buildNamespace = "kovra-builds"
	shopNamespace  = "shop"
	simRegistry    = "cr.example.com/shop" // nothing is pushed there
)

// The pace of the cluster: a build takes a good quarter of a minute, a rollout some seconds.
const (
	clusterPace = 280 * time.Millisecond
	linePace    = 230 * time.Millisecond
	panelRuns   = 6
)

// deployments are what runs in the shop when the demo begins, by name.
var deployments = []tektonsim.Deployment{
	{Namespace: shopNamespace, Name: "web", Image: simRegistry + "/web:3.17"},
	{Namespace: shopNamespace, Name: "api", Image: simRegistry + "/api:2.4"},
}

// fate is what the next build shall do.
type fate struct {
	name     string
	scenario tektonsim.Scenario
}

// fates are the choices of the panel. The first one is what happens without a choice.
var fates = []fate{
	{name: "well"},
	{"break", tektonsim.Scenario{Fail: "build"}},
	{"dockerfile", tektonsim.Scenario{Fail: "detect"}},
	{"denied", tektonsim.Scenario{Fail: "push"}},
	{"hang", tektonsim.Scenario{Hang: "build"}},
	{"wait", tektonsim.Scenario{Pending: tektonsim.Unschedulable}},
	{"pull", tektonsim.Scenario{Fail: "rollout"}},
}

// pipeline is the one that a fate is about.
func (f fate) pipeline() string {
	if f.scenario.Fail == "rollout" {
		return "kovra-deploy"
	}
	return "kovra-build"
}

// cluster is the simulated cluster that builds run on, and what the panel wants of it.
type cluster struct {
	sim *tektonsim.Server

	mu    sync.Mutex
	next  fate
	after int    // runs that there were when it was chosen
	last  string // picture of the runs
}

func newCluster() *cluster {
	c := &cluster{sim: tektonsim.New(tektonsim.Options{Pace: clusterPace, LinePace: linePace}), next: fates[0]}
	c.sim.AddNamespace(buildNamespace)
	for _, d := range deployments {
		c.sim.AddDeployment(d)
	}
	return c
}

// settings are what Kovra is told of the cluster. Its kubeconfig is kept in dir.
func (c *cluster) settings(dir, url string) ([]string, error) {
	file := filepath.Join(dir, "kubeconfig")
	if err := c.sim.WriteKubeconfig(file, url, nil); err != nil {
		return nil, fmt.Errorf("write the kubeconfig: %w", err)
	}
	return []string{"KOVRA_KUBECONFIG=" + file, "KOVRA_REGISTRY=" + simRegistry, "KOVRA_BUILD_NAMESPACE=" + buildNamespace}, nil
}

// moved reports whether a run has got on since it was last asked.
func (c *cluster) moved() bool {
	now := fmt.Sprint(c.sim.Runs())
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.last
	c.last = now
	return now != before
}

// choose says what the next build shall do.
func (c *cluster) choose(name string) error {
	i := slices.IndexFunc(fates, func(f fate) bool { return f.name == name })
	if i < 0 {
		return fmt.Errorf("nothing is called %q", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.after = fates[i], c.count(fates[i].pipeline())
	c.sim.Script("", tektonsim.Scenario{}) // whatever was chosen before
	if i > 0 {
		sc := fates[i].scenario
		sc.Once, sc.Pipeline = true, fates[i].pipeline()
		c.sim.Script("", sc)
	}
	return nil
}

// chosen is what the next build shall do. A run uses a choice up.
func (c *cluster) chosen() fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count(c.next.pipeline()) > c.after {
		c.next = fates[0]
	}
	return c.next
}

// count counts the runs of a Pipeline.
func (c *cluster) count(pipeline string) (n int) {
	for _, r := range c.sim.Runs() {
		if r.Pipeline == pipeline {
			n++
		}
	}
	return n
}

// clusterState is what the panel shows of the cluster.
type clusterState struct {
	Runs     []clusterRun `json:"runs"` // newest first
	Next     string       `json:"next"` // fate of the next build
	Deployed []deployed   `json:"deployed"`
}

type clusterRun struct {
	Name   string `json:"name"`
	App    string `json:"app"`
	Kind   string `json:"kind"` // build or deploy
	Image  string `json:"image"`
	Status string `json:"status"` // in the words for jobs
	At     string `json:"at"`
	Held   bool   `json:"held"`
	Ended  bool   `json:"ended"`
}

// deployed says which image a Deployment runs.
type deployed struct {
	Name  string `json:"name"`
	Image string `json:"image"`
}

func (c *cluster) state() *clusterState {
	out := &clusterState{Runs: []clusterRun{}, Next: c.chosen().name}
	runs := c.sim.Runs()
	for _, r := range slices.Backward(runs[max(len(runs)-panelRuns, 0):]) {
		out.Runs = append(out.Runs, runState(r))
	}
	for _, d := range deployments {
		out.Deployed = append(out.Deployed, deployed{Name: d.Namespace + "/" + d.Name, Image: shortImage(c.sim.DeployedImage(d.Namespace, d.Name, ""))})
	}
	return out
}

func runState(r tektonsim.Run) clusterRun {
	out := clusterRun{
		Name: r.Name, App: r.App, Kind: strings.TrimPrefix(r.Pipeline, "kovra-"), Image: shortImage(r.Params["image"]),
		Status: "running", At: r.At, Held: r.Held, Ended: r.Status == "True" || r.Status == "False",
	}
	switch {
	case r.Status == "True":
		out.Status = "success"
	case r.Status == "False" && r.Reason == "Cancelled":
		out.Status = "canceled"
	case out.Ended:
		out.Status = "failed"
	case r.At == "" || r.Held && !strings.Contains(r.At, "/"):
		out.Status = "pending"
	}
	if out.Ended {
		out.At = r.Reason
	}
	return out
}

// shortImage is the last part of an image's name, with as much of its digest as tells it
// from others.
func shortImage(image string) string {
	image = image[strings.LastIndex(image, "/")+1:]
	if name, digest, is := strings.Cut(image, "@sha256:"); is {
		return name + "@" + digest[:min(len(digest), 8)]
	}
	return image
}

// panelCluster says how the next build goes, or lets a run go on.
func (w *world) panelCluster(_ context.Context, in struct {
	Do  string `json:"do"`
	Run string `json:"run"`
},
) (any, error) {
	if w.cluster == nil {
		return nil, errors.New("builds run on a cluster of yours")
	}
	defer w.labMoved.tell()
	switch {
	case in.Run == "":
		return shown{}, w.cluster.choose(in.Do)
	case in.Do == "release":
		w.cluster.sim.Release(in.Run)
	case in.Do == "finish":
		w.cluster.sim.Finish(in.Run)
	default:
		return nil, fmt.Errorf("nothing is called %q", in.Do)
	}
	return shown{}, nil
}
