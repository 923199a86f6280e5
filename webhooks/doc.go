// Package webhooks accepts what GitLab and Slack send. It owns the routes, the
// size limits, the signatures, the journal of GitLab deliveries and the answers,
// and the intake loop that reads the journal: it decodes GitLab's payloads and
// folds them into the state.
//
// It is used by building a [Handler] with [New] and serving its [Handler.Engine],
// and by putting an [Intake] into a control loop that is kicked whenever a
// delivery was stored. A delivery is authenticated, stored and only then answered;
// nothing is decoded before the answer, so no decoder can refuse or lose one.
// Requests of Slack are authenticated and handed to whoever implements [Slack]. In
// Socket Mode they come over connections that a [Socket] opens, to the same methods,
// and are acknowledged when those have returned.
//
// It starts no work and keeps nothing in memory that a crash could lose. It calls
// nobody, but for a [Socket], which asks Slack for its connections.
package webhooks
