// Package identity answers one question: may this person do that to this app?
//
// Make one [Identity] with [New] and ask [Identity.May] right before each effect and
// before each answer that shows an app; [Identity.Visible] lists what somebody may see.
// The rule: administrators may do everything; members of a channel that is
// subscribed to an app may read it and act on it, wherever they ask from; nobody else
// may do anything, and neither may bots and people of other organisations. What
// Slack says is remembered for a minute at most, and a refusal never rests on anything
// older than a few seconds. Tell it of members who come and go with
// [Identity.ForgetChannel].
//
// It changes nothing, neither in Slack nor in the database, and when Slack cannot be
// asked it says so: it never guesses.
package identity
