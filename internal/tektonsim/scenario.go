package tektonsim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Scenario says what happens to runs. The zero value is a run in which all goes well.
type Scenario struct {
	// Commit limits it to builds of that commit, Image to deployments of that image; "": all.
	Commit, Image string
	// Pipeline limits it to runs of that Pipeline; "": of both.
	Pipeline string
	// Once: it is used up by the first run that it fits.
	Once bool

	// Fail is the step that ends with ExitCode (0: 1). OOM: it is killed for its memory.
	Fail     string
	ExitCode int32
	OOM      bool
	// Retries is how often the task of the failing step is tried again; its last attempt goes well.
	Retries int
	// Logs are what steps write, by their names, in place of the usual lines.
	Logs map[string][]string
	// Hang is the step that waits, after its lines, until Release, Cancel or TimeOut.
	Hang string
	// TimeOut: where it hangs, the run's time is up.
	TimeOut bool

	// Pending keeps the pod of a task (Task; "": the first) from starting, until Release.
	Pending Trouble
	Task    string
	// Gone: the trouble is not waited out; the task fails of it.
	Gone bool

	// Digest of the pushed image; "": made of the image and the commit.
	Digest string
	// LinePace is how long a line of a log takes in real time; 0: the server's.
	LinePace time.Duration
}

// Trouble is what keeps a pod from starting.
type Trouble string

// Troubles.
const (
	NoTrouble     Trouble = ""
	ImagePull     Trouble = "image pull"     // the image of a step is not there
	Unschedulable Trouble = "unschedulable"  // no node has room
	NoSecret      Trouble = "missing secret" // a Secret to mount is not there
	NoConfig      Trouble = "missing config" // a Secret for a variable is not there
	NoVolume      Trouble = "no volume"      // the claim is not bound
	Quota         Trouble = "quota"          // the namespace's quota is used up
)

type script struct {
	app      string
	scenario Scenario
}

// Script says what happens to the runs of an app that are made from now on; "": of every app. Of those that fit, the newest counts.
func (s *Server) Script(app string, sc Scenario) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts = append(s.scripts, script{app, sc})
}

// scenario finds what happens to a new run.
func (s *Server) scenario(r *run) Scenario {
	for i, sc := range slices.Backward(s.scripts) {
		if !sc.fits(r) {
			continue
		}
		if sc.scenario.Once {
			s.scripts = slices.Delete(s.scripts, i, i+1)
		}
		return sc.scenario
	}
	return Scenario{}
}

func (sc script) fits(r *run) bool {
	for _, one := range [][2]string{
		{sc.app, r.app},
		{sc.scenario.Pipeline, r.pipeline},
		{sc.scenario.Commit, r.param("revision")},
		{sc.scenario.Image, r.param("image")},
	} {
		if one[0] != "" && one[0] != one[1] {
			return false
		}
	}
	return true
}

// lines are what a step writes.
func (r *run) lines(step string) []string {
	if own, ok := r.sc.Logs[step]; ok {
		return own
	}
	var all []string
	switch step {
	case "clone":
		all = cloneLog(r)
	case "detect":
		all = []string{"Looking for a Dockerfile below " + r.param("context"), "Dockerfile: " + r.dockerfile()}
	case "build":
		all = buildLog(r)
	case "push":
		all = pushLog(r)
	case "patch":
		all = patchLog(r)
	case "rollout":
		all = rolloutLog(r)
	default:
		all = []string{"Running " + step, "Done"}
	}
	if step != r.sc.Fail {
		return all
	}
	cut := max(1, len(all)-2)
	if i := slices.Index(all, buildBreaks); i >= 0 {
		cut = i
	}
	return append(all[:cut:cut], failureLog(r, step)...)
}

// buildBreaks is the line of a build in whose place its failure stands.
const buildBreaks = "vite v7.1.0 building for production..."

func cloneLog(r *run) []string {
	return []string{
		"Cloning into '/workspace/source'...",
		"remote: Enumerating objects: 42, done.",
		"remote: Counting objects: 100% (42/42), done.",
		"remote: Compressing objects: 100% (31/31), done.",
		"From " + r.param("repo-url"),
		" * branch            " + r.param("revision") + " -> FETCH_HEAD",
		"HEAD is now at " + r.param("revision")[:min(8, len(r.param("revision")))],
	}
}

func buildLog(r *run) []string {
	lines := []string{
		"STEP 1/7: FROM docker.io/library/node:24-alpine AS build",
		"Trying to pull docker.io/library/node:24-alpine...",
		"Getting image source signatures",
		"Copying blob sha256:" + sum("blob", "1")[:12],
		"STEP 2/7: WORKDIR /app",
		"--> " + sum(r.name, "2")[:11],
		"STEP 3/7: COPY package.json package-lock.json ./",
		"--> " + sum(r.name, "3")[:11],
		"STEP 4/7: RUN npm ci",
		"",
		"added 214 packages, and audited 215 packages in 3s",
		"",
		"found 0 vulnerabilities",
		"--> " + sum(r.name, "4")[:11],
		"STEP 5/7: COPY . .",
		"--> " + sum(r.name, "5")[:11],
		"STEP 6/7: RUN npm run build",
		"",
		"> " + r.app + "@1.0.0 build",
		"> tsc -p . && vite build",
		"",
		buildBreaks,
		"transforming...",
		"\x1b[32m✓\x1b[0m 318 modules transformed.",
		"dist/index.html                  0.46 kB │ gzip:  0.30 kB",
		"dist/assets/index-CmF2Yl3o.js  143.42 kB │ gzip: 46.11 kB",
		"\x1b[32m✓ built in 1.28s\x1b[0m",
		"--> " + sum(r.name, "6")[:11],
		"STEP 7/7: CMD [\"node\", \"dist/server.js\"]",
		"COMMIT " + r.param("image"),
		"Successfully tagged " + r.param("image"),
	}
	return lines
}

func pushLog(r *run) []string {
	return []string{
		"Getting image source signatures",
		"Copying blob sha256:" + sum(r.name, "a")[:12],
		"Copying blob sha256:" + sum(r.name, "b")[:12],
		"Copying config sha256:" + sum(r.name, "c")[:12],
		"Writing manifest to image destination",
		"Pushed " + r.param("image") + "@" + r.digest(),
	}
}

func patchLog(r *run) []string {
	return []string{
		fmt.Sprintf("Deployment %s/%s runs %s", r.param("namespace"), r.param("deployment"), r.previous),
		"deployment.apps/" + r.param("deployment") + " image updated",
	}
}

func rolloutLog(r *run) []string {
	name := r.param("deployment")
	return []string{
		fmt.Sprintf("Waiting for deployment %q rollout to finish: 1 out of 3 new replicas have been updated...", name),
		fmt.Sprintf("Waiting for deployment %q rollout to finish: 2 out of 3 new replicas have been updated...", name),
		fmt.Sprintf("Waiting for deployment %q rollout to finish: 1 old replicas are pending termination...", name),
		fmt.Sprintf("deployment %q successfully rolled out", name),
	}
}

// failureLog is how a step tells what went wrong.
func failureLog(r *run, step string) []string {
	switch step {
	case "clone":
		return []string{"remote: HTTP Basic: Access denied", "fatal: Authentication failed for '" + r.param("repo-url") + "'"}
	case "detect":
		return []string{
			"No Dockerfile was found. Looked for Dockerfile, Containerfile, docker/Dockerfile, build/Dockerfile, deploy/Dockerfile.",
			"Set the Dockerfile path in the settings of " + r.app + ".",
		}
	case "build":
		return []string{
			"src/server.ts(12,7): error TS2322: Type 'string' is not assignable to type 'number'.",
			"npm error code 2",
			"npm error command failed",
			`Error: building at STEP "RUN npm run build": while running runtime: exit status 2`,
		}
	case "push":
		return []string{"Error: pushing image: unauthorized: access to the requested resource is not authorized"}
	case "rollout":
		return []string{
			fmt.Sprintf("Pod %s-%s cannot start: ImagePullBackOff", r.param("deployment"), sum(r.name, "pod")[:10]),
			fmt.Sprintf("Failed to pull image %q: not found", r.param("image")),
			fmt.Sprintf("error: deployment %q exceeded its progress deadline", r.param("deployment")),
		}
	default:
		return []string{"error: " + step + " failed"}
	}
}

func sum(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "/")))
	return hex.EncodeToString(h[:])
}

func (r *run) digest() string {
	if r.sc.Digest != "" {
		return r.sc.Digest
	}
	return "sha256:" + sum(r.param("image"), r.param("revision"))
}

func (r *run) dockerfile() string {
	if file := r.param("dockerfile"); file != "" {
		return file
	}
	return "Dockerfile"
}
