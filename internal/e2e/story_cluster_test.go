package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kovra.dev/chatops/internal/tektonsim"
)

// storyRegistry is the image prefix of the stories; nothing is ever pushed there.
const storyRegistry = "registry.example.com/team"

// clusterCommands play the cluster that builds run on.
var clusterCommands = map[string]storyCommand{
	"begin":      clusterBegin,
	"script":     clusterScript,
	"release":    clusterRelease,
	"wait":       clusterWait,
	"runs":       clusterRuns,
	"params":     clusterParams,
	"count":      clusterCount,
	"most":       clusterMost,
	"rest":       clusterRest,
	"deployment": clusterDeployment,
	"image":      clusterImage,
	"delete":     clusterDelete,
	"forbid":     clusterForbid,
	"fault":      clusterFault,
	"down": func(s *story, _ *scriptLine) error {
		return s.withCluster(func(c *cluster) error { c.sim.SetDown(true); return nil })
	},
	"up": func(s *story, _ *scriptLine) error {
		return s.withCluster(func(c *cluster) error { c.sim.SetDown(false); return nil })
	},
	"drop": func(s *story, _ *scriptLine) error {
		return s.withCluster(func(c *cluster) error { c.sim.DropStreams(); return nil })
	},
}

// cluster is the simulated cluster of a story, and what its kubeconfig is called.
type cluster struct {
	sim        *tektonsim.Server
	kubeconfig string

	mu   sync.Mutex
	most int // builds that ran at once
}

func (s *story) withCluster(do func(*cluster) error) error {
	if s.cluster == nil {
		return errors.New("there is no cluster: cluster begin")
	}
	return do(s.cluster)
}

// cluster begin [notekton] makes a cluster with the namespaces kovra-builds and shop; the program is told of it when it
// starts.
func clusterBegin(s *story, c *scriptLine) error {
	sim := tektonsim.New(tektonsim.Options{Pace: 10 * time.Millisecond, LinePace: time.Millisecond, NoTekton: slices.Contains(c.args, "notekton")})
	for _, ns := range []string{"kovra-builds", "shop"} {
		sim.AddNamespace(ns)
	}
	server := httptest.NewServer(s.way("Kubernetes", sim))
	k := &cluster{sim: sim, kubeconfig: filepath.Join(s.dir, "kubeconfig")}
	if err := sim.WriteKubeconfig(k.kubeconfig, server.URL, nil); err != nil {
		server.Close()
		return err
	}
	s.cluster = k
	s.after = append(s.after, func() {
		server.CloseClientConnections()
		server.Close()
	})
	s.works.Go(func() { _ = sim.Run(s.ctx) }) // until the script ends
	s.works.Go(func() { k.watch(s) })
	return nil
}

// watch counts, all the time, how many builds run at once.
func (k *cluster) watch(s *story) {
	tick := time.NewTicker(storyTick / 5)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		running := 0
		for _, r := range k.sim.Runs() {
			if r.Pipeline == "kovra-build" && r.Status != "True" && r.Status != "False" {
				running++
			}
		}
		k.mu.Lock()
		k.most = max(k.most, running)
		k.mu.Unlock()
	}
}

// cluster script APP [fail=STEP] [hang=STEP] [pending=TROUBLE] [log=FILE] says how runs of an app go from now on;
// the log is that of the failing step, or of "build".
func clusterScript(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	sc := tektonsim.Scenario{Fail: c.options["fail"], Hang: c.options["hang"], Pending: tektonsim.Trouble(c.options["pending"])}
	if name := c.options["log"]; name != "" {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return err
		}
		step := sc.Fail
		if step == "" {
			step = "build"
		}
		sc.Logs = map[string][]string{step: strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")}
	}
	return s.withCluster(func(k *cluster) error { k.sim.Script(c.args[0], sc); return nil })
}

// cluster release APP lets the runs of an app go on that hang or are kept from starting.
func clusterRelease(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	return s.withCluster(func(k *cluster) error {
		released := 0
		s.until(func() bool {
			for _, r := range k.sim.Runs() {
				if r.App == c.args[0] && r.Held && k.sim.Release(r.Name) {
					released++
				}
			}
			return released > 0
		})
		if released == 0 {
			return fmt.Errorf("no run waits:\n%s", k.list())
		}
		return nil
	})
}

// cluster wait APP TEXT waits until the newest run of the app is there: TEXT is task/step, a reason or a status.
func clusterWait(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	return s.withCluster(func(k *cluster) error {
		seen := s.until(func() bool {
			for _, r := range slices.Backward(k.sim.Runs()) {
				if r.App == c.args[0] {
					return strings.Contains(strings.Join([]string{r.At, r.Reason, r.Status}, " "), c.args[1])
				}
			}
			return false
		})
		if !seen {
			return fmt.Errorf("it did not come to that:\n%s", k.list())
		}
		return nil
	})
}

// cluster runs prints all PipelineRuns: the app, the Pipeline, how it ended, image and commit.
func clusterRuns(s *story, c *scriptLine) error {
	return s.withCluster(func(k *cluster) error { c.out(k.list()); return nil })
}

func (k *cluster) list() string {
	var lines []string
	for _, r := range k.sim.Runs() {
		image := r.Params["image"]
		if r.Pipeline == "kovra-deploy" {
			image = r.Params["namespace"] + "/" + r.Params["deployment"]
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %s %s", r.App, r.Pipeline, r.Namespace, r.Reason, image))
	}
	return strings.Join(lines, "\n")
}

// cluster params APP prints the parameters of the newest run of an app.
func clusterParams(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	return s.withCluster(func(k *cluster) error {
		for _, r := range slices.Backward(k.sim.Runs()) {
			if r.App != c.args[0] {
				continue
			}
			var lines []string
			for _, key := range slices.Sorted(maps.Keys(r.Params)) {
				lines = append(lines, key+" "+r.Params[key])
			}
			c.out(strings.Join(lines, "\n"))
			return nil
		}
		return errors.New("no such run")
	})
}

// cluster count PIPELINE N waits until so many runs of a Pipeline were ever made, and no more.
func clusterCount(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	n, err := strconv.Atoi(c.args[1])
	if err != nil {
		return err
	}
	return s.withCluster(func(k *cluster) error {
		got := 0
		s.until(func() bool {
			got = 0
			for _, r := range k.sim.Runs() {
				if r.Pipeline == c.args[0] {
					got++
				}
			}
			return got >= n
		})
		if got != n {
			return fmt.Errorf("there are %d:\n%s", got, k.list())
		}
		return nil
	})
}

// cluster most N checks that no more than N builds ever ran at once, and that so many did.
func clusterMost(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	return s.withCluster(func(k *cluster) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if got := strconv.Itoa(k.most); got != c.args[0] {
			return fmt.Errorf("%s ran at once", got)
		}
		return nil
	})
}

// cluster rest waits until no run is under way.
func clusterRest(s *story, _ *scriptLine) error {
	return s.withCluster(func(k *cluster) error {
		if !s.until(func() bool {
			return !slices.ContainsFunc(k.sim.Runs(), func(r tektonsim.Run) bool { return r.Status != "True" && r.Status != "False" })
		}) {
			return fmt.Errorf("it does not rest:\n%s", k.list())
		}
		return nil
	})
}

// cluster deployment NAMESPACE/NAME IMAGE [owner=helm] adds a Deployment.
func clusterDeployment(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	ns, name, _ := strings.Cut(c.args[0], "/")
	d := tektonsim.Deployment{Namespace: ns, Name: name, Image: c.args[1]}
	if c.options["owner"] == "helm" {
		d.Labels = map[string]string{"app.kubernetes.io/managed-by": "Helm"}
		d.Annotations = map[string]string{"meta.helm.sh/release-name": name}
	}
	return s.withCluster(func(k *cluster) error { k.sim.AddDeployment(d); return nil })
}

// cluster image NAMESPACE/NAME prints the image that a Deployment runs.
func clusterImage(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	ns, name, _ := strings.Cut(c.args[0], "/")
	return s.withCluster(func(k *cluster) error { c.out(k.sim.DeployedImage(ns, name, "")); return nil })
}

// cluster delete APP deletes the newest run of an app.
func clusterDelete(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	return s.withCluster(func(k *cluster) error {
		for _, r := range slices.Backward(k.sim.Runs()) {
			if r.App == c.args[0] {
				k.sim.DeleteRun(r.Namespace, r.Name)
				return nil
			}
		}
		return errors.New("no such run")
	})
}

// cluster forbid VERB RESOURCE takes a right away.
func clusterForbid(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	return s.withCluster(func(k *cluster) error { k.sim.Forbid(c.args[0], c.args[1]); return nil })
}

// cluster fault KIND REQUEST [VALUE] [xN] lets requests go wrong.
func clusterFault(s *story, c *scriptLine) error {
	if err := c.want(2, 4); err != nil {
		return err
	}
	value, times := c.faultValue()
	var f tektonsim.Fault
	switch request := c.args[1]; c.args[0] {
	case "status":
		code, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		f = tektonsim.Status(request, code)
	case "lose":
		f = tektonsim.LoseReply(request)
	case "limit":
		f = tektonsim.RateLimit(request, parseDuration(value))
	case "cut":
		lines, err := strconv.Atoi(request)
		if err != nil {
			return err
		}
		f = tektonsim.CutLog(lines)
	default:
		return fmt.Errorf("no fault %q", c.args[0])
	}
	return s.withCluster(func(k *cluster) error { k.sim.Fault(f.Times(times)); return nil })
}
