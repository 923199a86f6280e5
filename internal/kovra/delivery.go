package kovra

import "time"

// Delivery is one webhook as it came.
type Delivery struct {
	ID   int64
	Key  string // GitLab's Idempotency-Key, else a hash of the body: the same event again has the same key
	Kind string // X-Gitlab-Event
	Body []byte
	At   time.Time

	Outcome DeliveryOutcome
	Note    string // why it is dead
	Project int64  // as far as it could be read
	Settled time.Time
}

// DeliveryOutcome says what became of a delivery.
type DeliveryOutcome string

// What can become of a delivery.
const (
	DeliveryPending DeliveryOutcome = ""        // not looked at yet
	DeliveryFolded  DeliveryOutcome = "folded"  // it changed the state
	DeliverySame    DeliveryOutcome = "same"    // nothing new in it
	DeliveryIgnored DeliveryOutcome = "ignored" // a project that no app is linked to, or a kind that nobody asked for
	DeliveryDead    DeliveryOutcome = "dead"    // could not be used; kept, can be replayed
)

// Ref names one thing that changed or needs work.
type Ref struct {
	Kind RefKind
	ID   int64
}

// RefKind says what a [Ref] names.
type RefKind string

// The things that loops work on.
const (
	RefDelivery   RefKind = "delivery" // ID is 0: there are deliveries to fold
	RefRun        RefKind = "run"
	RefThread     RefKind = "thread"
	RefAction     RefKind = "action"
	RefAnswer     RefKind = "answer" // an action whose late answer is due
	RefProject    RefKind = "project"
	RefLog        RefKind = "log" // in the second database, which holds the logs
	RefBuild      RefKind = "build"
	RefDeployment RefKind = "deployment"
	RefHome       RefKind = "home"     // one person's App Home
	RefStepLog    RefKind = "step_log" // the log of a build: its id
	RefNotice     RefKind = "notice"   // something that the administrators are told
	RefToken      RefKind = "token"    // ID is 0: the bot's own GitLab token
)
