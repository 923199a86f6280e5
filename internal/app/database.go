package app

import (
	"context"
	"errors"

	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// openDatabase opens the database for this process alone.
func openDatabase(ctx context.Context, cfg *config.Config, keys [][]byte, o Options) (*storage.DB, error) {
	db, err := storage.Open(ctx, storage.Options{
		Path: cfg.DatabasePath, Key: keys, Viewer: cfg.PublicURL + "/logs/", Lock: true, Now: o.Now, Interrupt: o.Interrupt,
	})
	if err != nil {
		return nil, err
	}
	if u := db.Upgrade(); u.From != u.To && u.From != 0 {
		o.Log.InfoContext(ctx, "the database was upgraded", "from", u.From, "to", u.To, "copy", u.Copy)
	}
	if err := begin(ctx, db, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// begin makes a database fit to go on that was put back from a backup.
func begin(ctx context.Context, db *storage.DB, o Options) error {
	copied := false
	err := db.Read(ctx, func(tx *storage.Tx) (err error) {
		_, copied, err = tx.Copied()
		return err
	})
	if err != nil || !copied {
		return err
	}
	var r kovra.Restore
	err = db.Update(ctx, func(tx *storage.Tx) (err error) {
		r, _, err = tx.BeginRestored()
		return err
	})
	if err != nil {
		return err
	}
	o.Log.WarnContext(ctx, "the database was restored from a backup: what was posted since is looked for, what was under way is given up, "+
		"and automatic deployments are paused", "backup", r.Since)
	return nil
}
