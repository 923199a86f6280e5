// Package bot owns Slack: it understands commands and clicks, renders what people
// see, and keeps threads equal to the state. It is the only package that speaks
// Slack's API.
//
// Three parts lie on top of each other. [Parse] and [Render] are pure functions over
// text and over [kovra.View]; handlers turn a command or a click into an action in
// storage and answer privately; the projector makes every thread show what Render
// says, slot by slot.
//
// It never calls GitLab by itself and never decides what is true: a message is a
// picture of the state and nothing else. All text that is not ours goes through the
// escape functions of mrkdwn.go.
package bot
