package kovra

import (
	"fmt"
	"time"
)

// Restore says that the database was put back from a copy: nothing is known of what was done between Since, when the
// copy was made, and At, when a server was first started from it.
type Restore struct{ Since, At time.Time }

// SaysRestored is the reason of what is given up after a restore.
const SaysRestored = "The database was restored from a backup, and whether this was done meanwhile is not known. Ask again if it is still wanted."

// Identity names what the thread is about, the same in every copy of the database: messages carry it, so that they are
// found again.
func (v *View) Identity() string {
	switch {
	case v.Build != nil:
		return fmt.Sprintf("build/%d", v.Build.ID)
	case v.Subject != nil:
		return fmt.Sprintf("subject/%d/%s/%s", v.Subject.Project, v.Subject.Kind, v.Subject.Key)
	case v.Notice != nil:
		return fmt.Sprintf("notice/%s/%s", v.Notice.Kind, v.Notice.Key)
	}
	return fmt.Sprintf("run/%d/%d", v.Run.Project, v.Run.Remote)
}

// Born is when that began to be; zero: not known.
func (v *View) Born() time.Time {
	switch {
	case v.Build != nil:
		return v.Build.CreatedAt
	case v.Subject != nil:
		return v.Subject.CreatedAt
	case v.Notice != nil:
		return v.Notice.OpenedAt
	}
	return v.Run.CreatedAt
}
