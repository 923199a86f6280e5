// Package tekton runs builds and deployments as Tekton PipelineRuns: it makes them, says how they go in our words, reads what their
// steps write, cancels them, and looks at the Deployments that images are deployed to.
//
// Make a [Client] with [New]; its methods are what internal/dispatch asks of a cluster. A [Watch] tells when something of ours has
// changed; what has changed is then read with [Client.Look]. Tekton's and Kubernetes' words end here: conditions become
// [kovra.BuildStatus], step states GitLab's words, refusals [kovra.Error] with a sentence for people.
//
// It never decides what is built or deployed, or who may ask for it; never reads a Secret; never puts what people typed into a name, a
// label or a script; and never deletes anything.
package tekton
