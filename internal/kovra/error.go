package kovra

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrorKind is for machines: it says what to do about an error.
type ErrorKind string

// Kinds of errors.
const (
	Invalid     ErrorKind = "invalid"     // what was asked makes no sense; ask otherwise
	Denied      ErrorKind = "denied"      // this person may not
	Unconnected ErrorKind = "unconnected" // this person must connect their GitLab account first
	NotFound    ErrorKind = "not_found"   // there is no such thing, or it may not be seen
	Conflict    ErrorKind = "conflict"    // not possible in the present state
	Unavailable ErrorKind = "unavailable" // a peer is down, slow or limits us: try again
	Unclear     ErrorKind = "unclear"     // it may have happened: look before trying again
	Internal    ErrorKind = "internal"    // our fault
)

// ErrToken is the cause of a [Denied] that says nothing of the thing asked for: the peer
// does not accept the token that was used: the bot's own, or a person's. Once that is mended everything can be tried again.
var ErrToken = errors.New("the token is not accepted")

// ErrDirect refuses to subscribe a direct message. People read in private only what they asked for themselves, and of who is in
// such a conversation the bot is told nothing, so it could lend nobody a right.
var ErrDirect = Errorf(Invalid, "Channels hear of an app, direct messages do not: type /kovra subscribe in a channel. "+
	"To be told here of the pipelines that you started, type /kovra notify me all.")

// Error carries a kind for machines and a sentence for people beside the cause.
type Error struct {
	Kind   ErrorKind
	Public string        // a sentence for people; holds no secret; plain text, not escaped
	Err    error         // the cause; may be nil
	Retry  time.Duration // with Unavailable: how long the peer asks to wait; 0: it did not say
}

// Error returns the public sentence and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Public
	}
	return fmt.Sprintf("%s: %v", strings.TrimRight(e.Public, "."), e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// RetryAfter is how long the peer asked us to wait; loops honour it.
func (e *Error) RetryAfter() time.Duration { return e.Retry }

// Errorf makes an error of a kind with a public sentence.
func Errorf(kind ErrorKind, format string, args ...any) error {
	return &Error{Kind: kind, Public: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of err: [Internal] when it has none.
func KindOf(err error) ErrorKind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// PublicText returns the sentence of err for people. An error that has none gets a
// general one, so that no inner detail leaks.
func PublicText(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Public != "" {
		return e.Public
	}
	return "Something went wrong on our side; it is in the log of the bot."
}
