// Package e2e holds the tests of the whole program: stories against the real
// binary, chaos against the real wiring, the demo in a browser.
//
// It is used by `go test`; the simulators play Slack and GitLab. A story is one
// file in testdata/story, and every feature of the README has one.
//
// It holds no product code.
package e2e
