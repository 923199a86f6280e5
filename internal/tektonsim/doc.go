// Package tektonsim owns a Kubernetes cluster of our own with Tekton Pipelines in it: the API over HTTP, as far as a client of
// PipelineRuns, TaskRuns, pods, their logs, events and Deployments needs it, and a controller that walks runs through the conditions and
// reasons that Tekton 1.15 writes.
//
// Make one with [New], serve it (a [Server] is an http.Handler) and give its clients a kubeconfig ([Server.WriteKubeconfig]). Namespaces
// that are added have the Pipelines kovra-build and kovra-deploy. Runs move by [Server.Step] in tests, one act each, or in real time by
// [Server.Run]; a [Scenario] says what happens to the runs of an app: which step fails or hangs, what it prints, what keeps a pod from
// starting. Faults, [Server.SetDown] and [Server.DropStreams] play the bad days.
//
// It imports no other package of this module, never decides anything at random, and never serves production: only tests and the demo link
// it. Known differences from a cluster: no other resources; no pagination (a list is always whole); strategic merge patches are taken as
// merge patches; tasks run one after the other, in the order of the Pipeline; nothing but Tekton's own validation judges objects.
package tektonsim
