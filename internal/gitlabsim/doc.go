// Package gitlabsim owns a GitLab of our own: projects, refs, pipelines, jobs, traces, members, merge requests, deployments, releases,
// OAuth and webhooks in memory, spoken to by REST v4 and speaking back by webhooks, as GitLab 19 does.
//
// Make one with New, add users and projects, give a project a pipeline shape with SetCI, then Push. Serve it over HTTP (Server is an
// http.Handler) or use Client, which needs no socket and so works inside testing/synctest. Jobs do nothing by themselves: Step,
// StartJob, AppendTrace, FinishJob and FinishPipeline move them; Record and WriteTrace let a trace grow. Hooks wait in a queue until SendAll or Run sends them. Faults, the
// hook queue and SetDown play the bad days.
//
// It never imports another package of this module, never decides anything at random unless a seeded source was handed in, and never
// serves production: only tests and the demo link it. Known differences from GitLab: every API call needs a token, also for public
// projects; a pipeline has only what JobSpec can express (no needs, rules, environments); a deployment moves by hand, not with its job;
// merging asks for no approval; OAuth asks each time, also for what was authorized before, and shows a bad authorization request with
// status 400; a refresh token that comes a second time ends all tokens that came out of the same authorization.
package gitlabsim
