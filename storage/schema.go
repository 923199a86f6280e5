package storage

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// Schema says how a database stands to this version of the program.
type Schema struct {
	Have   int64 // that of the database; 0: it is empty
	Newest int64 // the newest one that this version knows
}

// judge is the error of a schema that this version does not know.
func (s Schema) judge() error {
	if s.Have <= s.Newest {
		return nil
	}
	return fmt.Errorf("it was written by a newer version of kovra (schema %d, this one knows %d): install that version again", s.Have, s.Newest)
}

// Upgrade is what [Open] did to the schema.
type Upgrade struct {
	From, To int64  // the same: nothing was to be done
	Copy     string // the database as it was before; "": none was made
}

// SchemaOf looks at the schema of a database that is there. It changes nothing.
func SchemaOf(ctx context.Context, path string) (s Schema, err error) {
	pool, err := openExisting(path)
	if err != nil {
		return Schema{}, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	return schemaIn(ctx, pool, migrations, "migrations")
}

// openExisting opens a database that is there, without changing how it is kept.
func openExisting(path string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(abs)
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return openPool(abs, dsnWith(abs, map[string]string{"mode": "rw", "_busy_timeout": busyTimeout}))
}

func schemaIn(ctx context.Context, pool *sql.DB, from embed.FS, folder string) (Schema, error) {
	p, err := provider(pool, from, folder)
	if err != nil {
		return Schema{}, err
	}
	sources := p.ListSources()
	s := Schema{Newest: sources[len(sources)-1].Version}
	var made int
	err = pool.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'").Scan(&made)
	if err == nil && made > 0 {
		err = pool.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&s.Have)
	}
	return s, err
}

func provider(pool *sql.DB, from embed.FS, folder string) (*goose.Provider, error) {
	files, err := fs.Sub(from, folder)
	if err != nil {
		return nil, err // unreachable: the folder is embedded
	}
	return goose.NewProvider(goose.DialectSQLite3, pool, files)
}

// migrate brings a schema up to date with the numbered files of a folder.
func migrate(ctx context.Context, pool *sql.DB, from embed.FS, folder string) error {
	s, err := schemaIn(ctx, pool, from, folder)
	if err == nil {
		err = s.judge()
	}
	if err != nil {
		return err
	}
	p, err := provider(pool, from, folder)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// upgrade brings the schema of the database up to date. What an older version has written is copied before, beside the
// database: a migration cannot be taken back.
func (db *DB) upgrade(ctx context.Context, o Options) error {
	s, err := schemaIn(ctx, db.sql, migrations, "migrations")
	if err != nil {
		return err
	}
	if err := s.judge(); err != nil {
		return fmt.Errorf("%w, or put back a copy from before that upgrade: %s, or a backup of yours", err, wayBack(o.Path, s.Newest+1))
	}
	db.upgraded = Upgrade{From: s.Have, To: s.Newest}
	if s.Have == s.Newest {
		return nil
	}
	if o.Beside {
		return fmt.Errorf("it was written by an older version of kovra (schema %d, this one needs %d): start this version's server, "+
			"or run kovra migrate", s.Have, s.Newest)
	}
	if s.Have > 0 && !o.NoCopy {
		if db.upgraded.Copy, err = db.copyBefore(ctx, o.Path, s.Have+1); err != nil {
			return fmt.Errorf("it is not upgraded from schema %d to %d, since it could not be copied before, and nothing was changed: %w "+
				"(kovra migrate --no-copy upgrades without a copy, if you have a backup)", s.Have, s.Newest, err)
		}
	}
	if err := migrate(ctx, db.sql, migrations, "migrations"); err != nil {
		return err
	}
	return errors.Join(db.noteWayBack(ctx, 0), forgetCopies(o.Path, db.upgraded.Copy))
}

// wayBack is the copy that was made beside a database before a migration.
func wayBack(path string, migration int64) string {
	return fmt.Sprintf("%s.before-%d", path, migration)
}

// copyBefore copies a database before the migration of that number, over an older copy of the same name. When an upgrade
// goes on that was killed between two migrations, the copy from before the first is the one that is wanted, and is there.
func (db *DB) copyBefore(ctx context.Context, path string, migration int64) (string, error) {
	var begun int64
	if err := db.sql.QueryRowContext(ctx, "PRAGMA user_version").Scan(&begun); err != nil {
		return "", err
	}
	if begun != 0 && begun < migration {
		if s, err := SchemaOf(ctx, wayBack(path, begun)); err == nil && s.Have == begun-1 {
			return wayBack(path, begun), nil
		}
	}
	to := wayBack(path, migration)
	c, err := writeCopy(ctx, path, to)
	if err != nil {
		return "", err
	}
	return to, errors.Join(c.place(to, os.Rename), db.noteWayBack(ctx, migration))
}

// noteWayBack keeps, as user_version, before which migration the copy was made of an upgrade that is under way; 0: none is.
func (db *DB) noteWayBack(ctx context.Context, migration int64) error {
	_, err := db.sql.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", migration))
	return err
}

// forgetCopies removes the copies from before older upgrades, if a new one was made. Files that only look like them are
// somebody else's.
func forgetCopies(path, keep string) error {
	if keep == "" {
		return nil
	}
	dir, base := filepath.Split(path)
	all, err := os.ReadDir(filepath.Clean(dir))
	for _, old := range all {
		number, isCopy := strings.CutPrefix(old.Name(), base+".before-")
		if _, odd := strconv.ParseUint(number, 10, 63); !isCopy || odd != nil || old.Name() == filepath.Base(keep) {
			continue
		}
		err = errors.Join(err, os.Remove(filepath.Join(dir, old.Name())))
	}
	if err != nil {
		return fmt.Errorf("remove the copy from before an older upgrade: %w", err)
	}
	return nil
}
