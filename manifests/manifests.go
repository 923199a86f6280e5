// Package manifests owns the YAML that administrators apply: the bot on Kubernetes, the Tekton
// pipelines that build and deploy, and the Slack app's manifest.
//
// It is used by its tests, which check every file against what the program needs
// and against the limits of whoever reads it.
//
// It never runs anything, and the program does not link it.
package manifests
