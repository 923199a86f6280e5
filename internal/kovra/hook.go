package kovra

import (
	"slices"
	"time"
)

// HookHealth says how the webhook of a project is, as GitLab tells it.
type HookHealth string

// Every health of a webhook.
const (
	HealthUnknown  HookHealth = "unknown"  // not looked at yet, or GitLab does not let us look; HookSight.Note says why
	HealthFine     HookHealth = "fine"     // GitLab sends to us
	HealthNone     HookHealth = "none"     // none was ever known; one of a group, or one set up by hand, may still send
	HealthGone     HookHealth = "gone"     // there was one, and somebody deleted it or changed its address
	HealthResting  HookHealth = "resting"  // switched off by GitLab until a time, after failures in a row
	HealthDisabled HookHealth = "disabled" // switched off by GitLab for good
	HealthRefused  HookHealth = "refused"  // we answer 401: it sends another secret than ours
	HealthLacking  HookHealth = "lacking"  // it does not send all that channels and apps want
)

// HookHealths lists every health, in the order in which people are told of them.
func HookHealths() []HookHealth {
	return []HookHealth{
		HealthDisabled, HealthGone, HealthRefused, HealthResting, HealthLacking, HealthUnknown, HealthNone, HealthFine,
	}
}

// Trouble reports whether somebody should do something about it.
func (h HookHealth) Trouble() bool {
	switch h {
	case HealthGone, HealthResting, HealthDisabled, HealthRefused, HealthLacking:
		return true
	default:
		return false
	}
}

// HookSight is what was seen when a project's webhook was last looked at.
type HookSight struct {
	Health HookHealth `json:"health,omitempty"` // "": [HealthUnknown]
	Until  time.Time  `json:"until,omitzero"`   // of one that rests
	Lacks  []string   `json:"lacks,omitempty"`  // names of events as GitLab's page shows them
	// Last is how GitLab says that its last delivery ended: an HTTP status, or a few words. "": not asked, or not known.
	Last  string    `json:"last,omitempty"`
	Note  string    `json:"note,omitempty"` // why it is not known, or could not be mended; a sentence for people
	Since time.Time `json:"since,omitzero"` // when it came into this health
	At    time.Time `json:"at,omitzero"`    // when it was looked at; zero: look now
	Tried time.Time `json:"tried,omitzero"` // when somebody last asked to enable it
}

// Is is the health.
func (s HookSight) Is() HookHealth {
	if s.Health == "" {
		return HealthUnknown
	}
	return s.Health
}

// Same reports whether people would be told the same.
func (s HookSight) Same(o HookSight) bool {
	return s.Is() == o.Is() && s.Until.Equal(o.Until) && slices.Equal(s.Lacks, o.Lacks) && s.Last == o.Last && s.Note == o.Note && s.Since.Equal(o.Since)
}

// ProjectHook is the webhook of a project, with the apps that depend on it.
type ProjectHook struct {
	Project Project
	Apps    []string
}

// TokenSight is what GitLab last said of the bot's own token.
type TokenSight struct {
	// ID and Name are GitLab's; 0 and "": it did not say. Tokens that are no personal, project or group access token cannot
	// be asked about.
	ID   int64  `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// Expires is the day on which it stops to work, at midnight UTC; zero: never, or not known.
	Expires time.Time `json:"expires,omitzero"`
	Refused string    `json:"refused,omitempty"` // why GitLab does not accept it; "": it does
	At      time.Time `json:"at,omitzero"`       // when GitLab was asked
}

// TokenDays are how many days before its end a token's end is announced.
func TokenDays() []int { return []int{30, 7, 1} }

const day = 24 * time.Hour

// Left is how many days a token still works, a part of one counted as a whole; false: it does not expire, or it is not known.
func (t TokenSight) Left(now time.Time) (days int, expires bool) {
	if t.Expires.IsZero() {
		return 0, false
	}
	left := t.Expires.Sub(now)
	if left <= 0 {
		return 0, true
	}
	return int((left + day - 1) / day), true
}

// Due is the announcement that is due: the shortest time of [TokenDays] that has come. false: none is, or it is over.
func (t TokenSight) Due(now time.Time) (days int, due bool) {
	left, expires := t.Left(now)
	if !expires || left <= 0 {
		return 0, false
	}
	for _, d := range TokenDays() {
		if left <= d {
			days, due = d, true
		}
	}
	return days, due
}

// NextDue is when the next announcement comes due; zero: none will.
func (t TokenSight) NextDue(now time.Time) time.Time {
	if t.Expires.IsZero() {
		return time.Time{}
	}
	for _, d := range TokenDays() {
		if at := t.Expires.Add(-time.Duration(d) * day); at.After(now) {
			return at
		}
	}
	return time.Time{}
}

// NoticeKind says what a [Notice] is about.
type NoticeKind string

// Every kind of notice.
const (
	NoticeHooks   NoticeKind = "hooks"   // webhooks that do not send, all projects together
	NoticeExpiry  NoticeKind = "expiry"  // the bot's GitLab token ends soon
	NoticeRefused NoticeKind = "refused" // GitLab does not accept the bot's token
)

// Notice is something that the administrators are told, each in a message of their own that follows the state.
type Notice struct {
	ID   int64
	Kind NoticeKind
	// Key names it within its kind, so that nothing is told twice.
	Key      string
	OpenedAt time.Time
	ClosedAt time.Time // when it was over; zero: it is not
	Told     bool      // each administrator has a thread
	// Token is the token that an expiry is about, as it was then, and Days how many days it was to work yet.
	Token TokenSight
	Days  int
}

// Open reports whether it is not over.
func (n Notice) Open() bool { return n.ClosedAt.IsZero() }
