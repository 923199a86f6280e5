package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/gitlabsim"
)

// gitlabCommands play what happens in GitLab. Jobs are those of the newest pipeline,
// or of the one given with in=ID.
var gitlabCommands = map[string]storyCommand{
	"project":   gitlabProject,
	"ci":        gitlabCI,
	"member":    gitlabMember,
	"branch":    gitlabBranch,
	"tag":       gitlabTag,
	"push":      gitlabPush,
	"run":       gitlabRunPipeline,
	"mr":        gitlabMR,
	"step":      gitlabStep,
	"start":     onJob((*gitlabsim.Server).StartJob),
	"finish":    gitlabFinish,
	"cancel":    onJob((*gitlabsim.Server).CancelJob),
	"play":      asOnJob((*gitlabsim.Server).PlayJob),
	"retry":     asOnJob((*gitlabsim.Server).RetryJob),
	"hold":      func(s *story, _ *scriptLine) error { s.lab.HoldHooks(); return nil },
	"release":   gitlabRelease,
	"duplicate": gitlabDuplicate,
	"drop":      gitlabDrop,
	"late":      func(s *story, _ *scriptLine) error { s.lab.LateNext(); return nil },
	"resend":    gitlabResend,
	"down":      func(s *story, _ *scriptLine) error { s.lab.SetDown(true); return nil },
	"up":        func(s *story, _ *scriptLine) error { s.lab.SetDown(false); return nil },
	"fault":     gitlabFault,
	"calls":     gitlabCalls,
	"count":     gitlabCount,
	"pipelines": gitlabPipelines,
	"jobs":      gitlabJobs,
	"hooks":     gitlabHooks,
	"addhook":   gitlabAddHook,
	"wait":      gitlabWait,
	"later":     gitlabLater,
	"record":    gitlabRecord,
	"write":     gitlabWrite,
	"writes":    gitlabWrites,
	"traces":    gitlabTraces,
	"erase":     onJob((*gitlabsim.Server).EraseJob),
	"open":      onMR(gitlabOpen),
	"merge":     turnMR(func(g *gitlabsim.Server, p, iid int64, user string) { g.MergeMergeRequest(p, iid, user) }),
	"close":     turnMR((*gitlabsim.Server).CloseMergeRequest),
	"reopen":    turnMR((*gitlabsim.Server).ReopenMergeRequest),
	"ready":     turnMR(func(g *gitlabsim.Server, p, iid int64, user string) { g.SetDraft(p, iid, false, user) }),
	"approve":   turnMR((*gitlabsim.Server).ApproveMergeRequest),
	"unapprove": turnMR((*gitlabsim.Server).UnapproveMergeRequest),
	"comment":   onMR(gitlabComment),
	"notes":     onMR(gitlabNotes),
	"saysin":    onMR(gitlabSaysIn),
	"deploy":    gitlabDeploy,
	"approval":  gitlabApproveDeployment,
	"publish":   gitlabPublish,
	"untag":     gitlabUntag,
	"revoke":    gitlabRevoke,
	"tokens":    gitlabTokens,
	"expire":    gitlabExpire,
	"user":      gitlabUser,
	"newtoken":  func(s *story, c *scriptLine) error { s.lab.AddToken(gitlabsim.BotUsername, c.args[0]); return nil },
	"endtoken":  func(s *story, c *scriptLine) error { s.lab.RevokeToken(c.args[0]); return nil },

	"hook":       gitlabHook,
	"hookstatus": gitlabHookStatus,
	"bottoken":   gitlabBotToken,
}

var roles = map[string]int{
	"guest": gitlabsim.Guest, "reporter": gitlabsim.Reporter, "developer": gitlabsim.Developer,
	"maintainer": gitlabsim.Maintainer, "owner": gitlabsim.Owner,
}

// projects are given ids in the order of their making, from 1 on.
func (s *story) project(path string) (int64, error) {
	for id := int64(1); id < 100; id++ {
		if s.projectPath(id) == path {
			return id, nil
		}
	}
	return 0, fmt.Errorf("no project %s", path)
}

// projectPath asks the simulator for a project by its number; "" if there is none.
func (s *story) projectPath(id int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(id) > len(s.paths) {
		return ""
	}
	return s.paths[id-1]
}

// gitlab project PATH [USER=ROLE...] [variables=ROLE] [protected:REF=ROLE] adds a project.
func gitlabProject(s *story, c *scriptLine) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	p := gitlabsim.Project{Path: c.args[0], Members: map[string]int{}, Protected: map[string]int{}}
	for _, word := range c.args[1:] {
		key, value, _ := strings.Cut(word, "=")
		ref, protected := strings.CutPrefix(key, "protected:")
		switch {
		case key == "variables":
			p.VariablesRole = value
		case key == "default":
			p.DefaultBranch = value
		case protected:
			p.Protected[ref] = roles[value]
		default:
			p.Members[key] = roles[value]
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = append(s.paths, p.Path)
	p.ID = int64(len(s.paths))
	s.lab.AddProject(p)
	return nil
}

// gitlab ci PATH STAGE:JOB[,manual][,optional][,retry=N][,log=KIND][,to=PROJECT][,child][,depend]... sets
// the shape of a project's pipelines. JOB/STAGE:NAME is a job of a child pipeline, of whatever level.
func gitlabCI(s *story, c *scriptLine) error {
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	var stages []string
	var jobs []gitlabsim.JobSpec
	for _, word := range c.args[1:] {
		parts := strings.Split(word, ",")
		stage, name, ok := strings.Cut(parts[0], ":")
		if !ok {
			return fmt.Errorf("%q is not STAGE:JOB", word)
		}
		if parent, childStage, is := strings.Cut(stage, "/"); is {
			t := triggerOf(jobs, parent)
			if t == nil {
				return fmt.Errorf("%q: no trigger job %s before it", word, parent)
			}
			j := gitlabsim.JobSpec{Name: name, Stage: childStage}
			if err := s.jobOptions(&j, parts[1:]); err != nil {
				return err
			}
			if !slices.Contains(t.Stages, childStage) {
				t.Stages = append(t.Stages, childStage)
			}
			t.Jobs = append(t.Jobs, j)
			continue
		}
		j := gitlabsim.JobSpec{Name: name, Stage: stage}
		if err := s.jobOptions(&j, parts[1:]); err != nil {
			return err
		}
		if !slices.Contains(stages, stage) {
			stages = append(stages, stage)
		}
		jobs = append(jobs, j)
	}
	s.lab.SetCI(id, stages, jobs)
	return nil
}

// triggerOf finds what a trigger job of that name starts, in the pipeline or in one below it.
func triggerOf(jobs []gitlabsim.JobSpec, name string) *gitlabsim.TriggerSpec {
	for _, j := range jobs {
		if j.Trigger == nil {
			continue
		}
		if j.Name == name {
			return j.Trigger
		}
		if t := triggerOf(j.Trigger.Jobs, name); t != nil {
			return t
		}
	}
	return nil
}

func (s *story) jobOptions(j *gitlabsim.JobSpec, options []string) (err error) {
	trigger := &gitlabsim.TriggerSpec{}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "manual":
			j.Manual = true
		case "optional":
			j.AllowFailure = true
		case "retry":
			if j.Retry, err = strconv.Atoi(value); err != nil {
				return err
			}
		case "log":
			j.Log = value
		case "child":
			j.Trigger = trigger
		case "depend":
			trigger.Depend = true
		case "to":
			j.Trigger = trigger
			if trigger.ProjectID, err = s.project(value); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown option %q", o)
		}
	}
	return nil
}

// gitlab member PATH USER ROLE changes a role; "none" takes it away.
func gitlabMember(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	id, err := s.project(c.args[0])
	s.lab.SetMember(id, c.args[1], roles[c.args[2]])
	return err
}

func (c *scriptLine) as() string {
	if c.options["as"] == "" {
		return "alice"
	}
	return c.options["as"]
}

// gitlab branch PATH NAME [FROM] makes a branch.
func gitlabBranch(s *story, c *scriptLine) error {
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	from := "main"
	if len(c.args) > 2 {
		from = c.args[2]
	}
	s.lab.CreateBranch(id, c.args[1], from, c.as())
	return nil
}

// gitlab tag PATH NAME makes a tag of the default branch, and its pipeline.
func gitlabTag(s *story, c *scriptLine) error {
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	_, p := s.lab.CreateTag(id, c.args[1], "main", c.as())
	return s.newest(c, p)
}

// gitlab push PATH BRANCH TITLE [as=USER] pushes a commit; a project with jobs runs a pipeline.
func gitlabPush(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	commit, p := s.lab.Push(id, c.args[1], c.args[2], c.as())
	c.ts.Setenv("SHA", commit.SHA[:8])
	return s.newest(c, p)
}

// newest lets the script speak of a pipeline: $PIPELINE, $PIPELINE_URL.
func (s *story) newest(c *scriptLine, p gitlabsim.PipelineRef) error {
	if p.ID == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.ts.Setenv("PIPELINE", strconv.FormatInt(p.ID, 10))
	c.ts.Setenv("PIPELINE_URL", p.WebURL)
	return nil
}

// gitlab run PATH REF [source=web] [as=USER] starts a pipeline as somebody in GitLab does.
func gitlabRunPipeline(s *story, c *scriptLine) error {
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	source := c.options["source"]
	if source == "" {
		source = "web"
	}
	return s.newest(c, s.lab.RunPipeline(id, c.args[1], source, c.as()))
}

// gitlab mr PATH IID BRANCH TITLE runs a merge request's pipeline.
func gitlabMR(s *story, c *scriptLine) error {
	if err := c.want(4, 4); err != nil {
		return err
	}
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	iid, err := c.number(1)
	if err != nil {
		return err
	}
	mr := gitlabsim.MergeRequest{IID: int64(iid), SourceBranch: c.args[2], TargetBranch: "main", Title: c.args[3]}
	return s.newest(c, s.lab.RunMergeRequestPipeline(id, mr, c.as()))
}

// pipeline is the one of in=ID, else the newest of all projects that is no child.
func (s *story) pipeline(c *scriptLine) (gitlabsim.PipelineState, error) {
	var found gitlabsim.PipelineState
	wanted, _ := strconv.ParseInt(c.options["in"], 10, 64)
	for _, p := range s.allPipelines() {
		if p.ID == wanted || wanted == 0 && p.ID > found.ID && p.SourcePipelineID == 0 {
			found = p
		}
	}
	if found.ID == 0 {
		return found, fmt.Errorf("no pipeline %s", c.options["in"])
	}
	return found, nil
}

func (s *story) allPipelines() []gitlabsim.PipelineState {
	var all []gitlabsim.PipelineState
	for id := int64(1); s.projectPath(id) != ""; id++ {
		all = append(all, s.lab.Pipelines(id)...)
	}
	return all
}

// job is the newest attempt at a job.
func (s *story) job(c *scriptLine, name string) (gitlabsim.JobState, error) {
	p, err := s.pipeline(c)
	if err != nil {
		return gitlabsim.JobState{}, err
	}
	jobs := append(s.lab.Jobs(p.ProjectID, p.ID), s.lab.Bridges(p.ProjectID, p.ID)...)
	for _, j := range slices.Backward(jobs) {
		if j.Name == name && !j.Retried {
			return j, nil
		}
	}
	return gitlabsim.JobState{}, fmt.Errorf("no job %s in pipeline %d", name, p.ID)
}

// gitlab step lets runners take what they can.
func gitlabStep(s *story, c *scriptLine) error {
	p, err := s.pipeline(c)
	if err != nil {
		return err
	}
	return s.lab.Step(p.ProjectID, p.ID)
}

func onJob(do func(*gitlabsim.Server, int64) error) storyCommand {
	return func(s *story, c *scriptLine) error {
		for _, name := range c.args {
			j, err := s.job(c, name)
			if err != nil {
				return err
			}
			if err := do(s.lab, j.ID); err != nil {
				return err
			}
		}
		return nil
	}
}

func asOnJob(do func(*gitlabsim.Server, int64, string) (int64, error)) storyCommand {
	return onJobAs(func(s *story, c *scriptLine, id int64) error {
		_, err := do(s.lab, id, c.as())
		return err
	})
}

func onJobAs(do func(*story, *scriptLine, int64) error) storyCommand {
	return func(s *story, c *scriptLine) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		j, err := s.job(c, c.args[0])
		if err != nil {
			return err
		}
		return do(s, c, j.ID)
	}
}

// gitlab finish JOB... success|failed|canceled [trace=FILE|KIND] ends jobs; the job "all"
// ends the whole pipeline.
func gitlabFinish(s *story, c *scriptLine) error {
	if err := c.want(2, -1); err != nil {
		return err
	}
	jobs, status := c.args[:len(c.args)-1], c.args[len(c.args)-1]
	if slices.Equal(jobs, []string{"all"}) {
		p, err := s.pipeline(c)
		if err != nil {
			return err
		}
		return s.lab.FinishPipeline(p.ProjectID, p.ID, status)
	}
	trace := gitlabsim.SampleLog(c.options["trace"])
	if name := c.options["trace"]; name != "" && trace == "" {
		trace = controls.Replace(c.ts.ReadFile(name))
	}
	for _, name := range jobs {
		j, err := s.job(c, name)
		if err != nil {
			return err
		}
		if err := s.lab.FinishJob(j.ID, status, trace, c.options["reason"]); err != nil {
			return err
		}
	}
	return nil
}

// gitlab release [reversed|shuffled] lets held webhooks go.
func gitlabRelease(s *story, c *scriptLine) error {
	s.lab.ReleaseHooks(func(held []gitlabsim.Delivery) []gitlabsim.Delivery {
		if slices.Contains(c.args, "reversed") {
			slices.Reverse(held)
		}
		if slices.Contains(c.args, "twice") {
			held = append(held, held...)
		}
		if slices.Contains(c.args, "none") {
			return nil
		}
		return held
	})
	return nil
}

func gitlabDuplicate(s *story, c *scriptLine) error {
	n, err := c.number(0)
	s.lab.DuplicateNext(n)
	return err
}

func gitlabDrop(s *story, c *scriptLine) error {
	n, err := c.number(0)
	s.lab.DropNext(n)
	return err
}

// gitlab resend sends every webhook of the past once more.
func gitlabResend(s *story, _ *scriptLine) error {
	for i := range s.lab.Deliveries() {
		if err := s.lab.Resend(i); err != nil {
			return err
		}
	}
	return nil
}

// gitlab fault KIND ENDPOINT [VALUE] [xN] lets a call go wrong.
func gitlabFault(s *story, c *scriptLine) error {
	if err := c.want(2, 4); err != nil {
		return err
	}
	value, times := c.faultValue()
	var f gitlabsim.Fault
	switch endpoint := c.args[1]; c.args[0] {
	case "status":
		code, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		f = gitlabsim.Status(endpoint, code)
	case "lose":
		f = gitlabsim.LoseReply(endpoint)
	case "badgateway":
		f = gitlabsim.BadGatewayAfter(endpoint)
	case "limit":
		f = gitlabsim.RateLimit(endpoint, parseDuration(value))
	case "delay":
		f = gitlabsim.Delay(endpoint, parseDuration(value))
	default:
		return fmt.Errorf("no fault %q", c.args[0])
	}
	s.lab.Fault(f.Times(times))
	return nil
}

// faultValue is the value of a fault, and how often it fires.
func (c *scriptLine) faultValue() (string, int) {
	value, times := "", 1
	for _, word := range c.args[2:] {
		if n, err := strconv.Atoi(strings.TrimPrefix(word, "x")); err == nil && word[0] == 'x' {
			times = n
			continue
		}
		value = word
	}
	return value, times
}

func parseDuration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d
}

// gitlab calls prints how often each endpoint that changes something was called.
func gitlabCalls(s *story, c *scriptLine) error {
	counts := map[string]int{}
	for _, k := range s.lab.Calls() {
		if k.Method != "GET" {
			counts[k.Method+" "+k.Route]++
		}
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%d %s\n", counts[k], k)
	}
	c.out(b.String())
	return nil
}

// gitlab count ENDPOINT N checks how often an endpoint was called.
func gitlabCount(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	n, err := c.number(1)
	if err != nil {
		return err
	}
	if got := s.lab.CallCount(c.args[0]); got != n {
		return fmt.Errorf("it was called %d times", got)
	}
	return nil
}

// gitlab pipelines PATH prints the pipelines of a project, oldest first.
func gitlabPipelines(s *story, c *scriptLine) error {
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, p := range s.lab.Pipelines(id) {
		fmt.Fprintf(&b, "#%d %s %s %s", p.ID, p.Ref, p.Source, p.Status)
		for _, v := range p.Variables {
			fmt.Fprintf(&b, " %s=%s", v.Key, v.Value)
		}
		for _, k := range slices.Sorted(maps.Keys(p.Inputs)) {
			fmt.Fprintf(&b, " input:%s=%v", k, p.Inputs[k])
		}
		b.WriteByte('\n')
	}
	c.out(b.String())
	return nil
}

// gitlab jobs prints the attempts at all jobs of the pipeline and sets $JOB_NAME to the
// id of each newest one.
func gitlabJobs(s *story, c *scriptLine) error {
	p, err := s.pipeline(c)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, j := range append(s.lab.Jobs(p.ProjectID, p.ID), s.lab.Bridges(p.ProjectID, p.ID)...) {
		fmt.Fprintf(&b, "%s %s\n", j.Name, j.Status)
		c.ts.Setenv("JOB_"+strings.ToUpper(j.Name), strconv.FormatInt(j.ID, 10))
	}
	c.out(b.String())
	return nil
}

// gitlab hooks PATH prints the webhooks of a project.
func gitlabHooks(s *story, c *scriptLine) error {
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, h := range s.lab.Hooks(id) {
		var events []string
		for e, on := range h.Events {
			if on {
				events = append(events, e)
			}
		}
		slices.Sort(events)
		fmt.Fprintf(&b, "%s %s token=%t signed=%t\n", strings.Replace(h.URL, s.publicURL, "PUBLIC", 1), strings.Join(events, ","), h.Token == storySecret, h.SigningToken != "")
	}
	c.out(b.String())
	return nil
}

// gitlab addhook PATH adds our hook by hand.
func gitlabAddHook(s *story, c *scriptLine) error {
	id, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	s.lab.AddHook(id, gitlabsim.Hook{URL: s.publicURL + "/webhooks/gitlab", Token: storySecret})
	return nil
}
