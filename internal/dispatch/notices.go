package dispatch

import (
	"context"
	"fmt"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// Administrators says who is told what is wrong.
type Administrators interface {
	// Administrators are the Slack users who administer the bot. Errors are Unavailable.
	Administrators(ctx context.Context) ([]string, error)
}

// Notices finds out who is to be told of a notice.
type Notices struct{ *Dispatch }

// Notices returns the reconciler of notices ([kovra.RefNotice]); its key is our id of one.
func (d *Dispatch) Notices() Notices { return Notices{d} }

// Reconcile gives each administrator a thread about the notice, which the projector shows. Of what is over before anybody was
// told nobody is.
func (n Notices) Reconcile(ctx context.Context, id int64) (time.Duration, error) {
	var notice kovra.Notice
	err := n.db.Read(ctx, func(tx *storage.Tx) (err error) {
		notice, err = tx.Notice(id)
		return err
	})
	if err != nil || notice.Told {
		return 0, ignoreNotFound(err)
	}
	var admins []string
	if notice.Open() && n.world.Admins != nil {
		if admins, err = n.world.Admins.Administrators(ctx); err != nil {
			return 0, fmt.Errorf("find the administrators: %w", err)
		}
		n.opts.Log.WarnContext(ctx, "administrators are told", "notice", string(notice.Kind), "people", len(admins))
	}
	return 0, n.db.Update(ctx, func(tx *storage.Tx) error {
		now, err := tx.Notice(id)
		if err != nil {
			return ignoreNotFound(err)
		}
		if !now.Open() {
			admins = nil
		}
		return tx.TellNotice(id, admins)
	})
}
