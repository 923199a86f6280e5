// Package identity knows people: what they may do, and who they are at GitLab.
//
// Make one [Identity] with [New] and ask [Identity.May] right before each effect and
// before each answer that shows an app; [Identity.Visible] lists what somebody may see, and
// [Identity.Explain] tells how a decision came about.
//
// The rule without OAuth: administrators may do everything; members of a channel that is
// subscribed to an app may read it and act on it, wherever they ask from; nobody else
// may do anything. With OAuth people act with their own GitLab accounts, and GitLab decides: by the token with which
// something is done, and by their role where it is done by us. In both cases bots and people of other
// organisations may do nothing, and a policy file takes away, but never gives. What Slack and GitLab
// say is remembered for a minute at most, and a refusal never rests on anything
// older than a few seconds. Tell it of members who come and go with
// [Identity.ForgetChannel], and of people who leave with [Identity.Left].
//
// People connect by [Identity.ConnectURL] and the pages of [Identity.Handler]; [Identity.Token] is what they act with,
// refreshed by one caller at a time. Who only wants to read a log signs in without connecting:
// [Identity.MayReadLog] and [Identity.SignIn]. [Identity.Match] finds the Slack user of a GitLab user.
//
// When Slack or GitLab cannot be asked it says so: it never guesses. No token, code or secret of it gets into an error, a
// log line or a page; what must be handed out is sealed. It starts no goroutine.
package identity
