// Package gitlab is the one place that speaks GitLab's REST API: projects and
// refs, pipelines, jobs, traces and webhooks, in the words of package kovra.
//
// Make one [Client] per GitLab with [New]; it is safe for concurrent use. Every
// method makes one call, or one call per page, each with a deadline of its own.
// Every error is a [kovra.Error]: Denied, NotFound, Invalid and Conflict are GitLab's
// own answers; Unavailable means that nothing happened and that it may be tried again
// after [kovra.Error.Retry]; Unclear means that a change may have happened, so the
// caller has to look first.
//
// It never repeats a request that changes something, never sleeps long to wait for
// a limit to pass (that is the loop's business), never puts a token or the value of
// a variable into an error, and decides nothing: who may do what is asked elsewhere.
package gitlab
