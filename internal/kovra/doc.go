// Package kovra holds the words and the rules of the product: applications, runs,
// jobs, threads, actions, and pure functions over them.
//
// Every other package speaks in these types. GitLab's vocabulary is the
// product's own, so a pipeline's status word is kept as GitLab wrote it; what
// people are shown is derived from it ([Status.Shown]). The one rule that matters
// most is [Run.Observe]: how what somebody saw of a pipeline, in any order and
// any number of times, becomes one state.
//
// It does no I/O, knows no clock, no SDK and none of the other packages.
package kovra
