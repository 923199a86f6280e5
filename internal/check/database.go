package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kovra.dev/chatops/internal/app"
	"kovra.dev/chatops/internal/dispatch"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

var databaseRows = []Row{
	{"database.file.directory", Wrong, "The directory <dir> of the database does not exist.", "`mkdir -p <dir>` as the user that runs Kovra, or set KOVRA_DATABASE_URL to a path on your volume."},
	{"database.file.not_writable", Wrong, "<path> cannot be written: <reason>.", "Run this check as the user that runs Kovra; if it is, `chown` the directory <dir> to it, and mount the volume for writing."},
	{"database.file.newer", Wrong, "<path> was written by a newer version of Kovra (schema <is>, this one knows <known>).", "Install that version again, or restore the backup that was taken before the upgrade."},
	{"database.file.damaged", Wrong, "<path> cannot be read: <reason>.", "Restore the database from a backup; docs/operations.md tells how."},
	{"database.key.missing", Wrong, "<path> is missing, and KOVRA_ENCRYPTION_KEY is not set, but the database exists. What it has sealed cannot be opened without it: the accounts of <people> people, and every link to a log.", "Restore <path> from your backup before Kovra starts, which would make a new one."},
	{"database.key.damaged", Wrong, "<path> holds no key.", "Restore it from your backup. It is 32 bytes in base64."},
	{"database.key.wrong", Wrong, "The key does not open what the database has sealed: the accounts of <locked> of <people> people.", "Set KOVRA_ENCRYPTION_KEY to the key of before, or to both, the new one first, separated by a comma; or restore <path>. Without the old one those people connect again: `/kovra connect`."},
	{"database.disk.low", Warning, "The disk of <dir> is nearly full: <free> are free.", "Make room, enlarge the volume, or lower KOVRA_LOG_MAX_TOTAL and KOVRA_LOG_RETENTION."},
}

// leastFree is how much should be free: without room for its journal a database can commit nothing.
const leastFree = 512 << 20

// state is what the database told, read once before everything else.
type state struct {
	found    []Finding // about the file and the key
	disk     Finding
	read     bool   // the rest is known
	why      string // it is not; part of a sentence
	projects []project
	builds   []string // namespaces that builds run in, beside the default one
	targets  []string // namespaces that are deployed to
}

// project is a linked one.
type project struct {
	kovra.Project
	wants dispatch.HookEvents
}

// database tells of the file, the key and the disk.
func (l *look) database(context.Context) []Finding {
	if l.cfg.DatabasePath == "" {
		return []Finding{skip("database.file", "file", "KOVRA_DATABASE_URL is wrong")}
	}
	return append(l.state.found, l.state.disk)
}

// peek reads what the other looks need to know.
func (l *look) peek(ctx context.Context) state {
	if l.cfg.DatabasePath == "" {
		return state{why: "KOVRA_DATABASE_URL is wrong"}
	}
	s := l.peekFile(ctx)
	s.disk = l.disk()
	return s
}

func (l *look) peekFile(ctx context.Context) state {
	path := l.cfg.DatabasePath
	const id = "database.file"
	dir := filepath.Dir(path)
	args := []string{"path", path, "dir", dir}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return state{why: "there is no database", found: []Finding{found(id+".directory", "file", args...)}}
	}
	for _, p := range []string{dir, path} {
		if err := writable(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return state{why: "the database cannot be used", found: []Finding{found(id+".not_writable", "file", "path", p, "dir", dir, "reason", err.Error())}}
		}
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return state{why: "there is no database yet", found: []Finding{
			fine(id, "file", path+": there is none yet, the first start makes it"), l.freshKey(),
		}}
	}
	key, keyed := l.key()
	db, schema, err := storage.Peek(ctx, storage.Options{Path: path, Key: key})
	switch {
	case err != nil:
		return state{why: "the database cannot be read", found: []Finding{found(id+".damaged", "file", append(args, "reason", why(err))...)}}
	case schema.Have > schema.Newest:
		return state{why: "the database is of a newer version", found: []Finding{
			found(id+".newer", "file", append(args, "is", fmt.Sprint(schema.Have), "known", fmt.Sprint(schema.Newest))...),
		}}
	case db == nil:
		return state{why: "the database is of an older version, which the next start upgrades", found: []Finding{
			fine(id, "file", fmt.Sprintf("%s: schema %d, the next start upgrades it to %d", path, schema.Have, schema.Newest)), keyed,
		}}
	}
	defer db.Close() //nolint:errcheck // it was only read
	s, err := l.read(ctx, db, keyed)
	if err != nil {
		return state{why: "the database cannot be read", found: []Finding{found(id+".damaged", "file", append(args, "reason", why(err))...)}}
	}
	s.found = append([]Finding{fine(id, "file", fmt.Sprintf("%s: schema %d", path, schema.Have))}, s.found...)
	return s
}

// freshKey is about the key before the first start.
func (l *look) freshKey() Finding {
	if len(l.cfg.EncryptionKeys) > 0 {
		return fine("database.key", "key", "KOVRA_ENCRYPTION_KEY")
	}
	_, f := l.key()
	if f.ID == "database.key.missing" {
		return fine("database.key", "key", app.KeyPath(l.cfg)+": there is none yet, the first start makes it")
	}
	return f
}

// key gives the keys that the server would use, and what is to be said of them as long as nothing else is known.
func (l *look) key() ([][]byte, Finding) {
	const id, subject = "database.key", "key"
	if len(l.cfg.EncryptionKeys) > 0 {
		var keys [][]byte
		for _, k := range l.cfg.EncryptionKeys {
			keys = append(keys, []byte(k.Reveal()))
		}
		return keys, fine(id, subject, "KOVRA_ENCRYPTION_KEY")
	}
	if l.bad("KOVRA_ENCRYPTION_KEY") {
		return nil, skip(id, subject, "KOVRA_ENCRYPTION_KEY is wrong")
	}
	path := app.KeyPath(l.cfg)
	key, err := app.ReadKey(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, found(id+".missing", subject, "path", path, "people", "some")
	case err != nil:
		return nil, found(id+".damaged", subject, "path", path)
	}
	return [][]byte{key}, fine(id, subject, path)
}

// read takes what the other looks need, and judges the key by what it opens.
func (l *look) read(ctx context.Context, db *storage.DB, key Finding) (state, error) {
	s := state{read: true}
	err := db.Read(ctx, func(tx *storage.Tx) error {
		people, locked, err := tx.Sealed()
		if err != nil {
			return err
		}
		args := []string{"path", app.KeyPath(l.cfg), "people", fmt.Sprint(people), "locked", fmt.Sprint(locked)}
		switch {
		case key.Status == OK && locked > 0:
			key = found("database.key.wrong", key.Subject, args...)
		case key.ID == "database.key.missing":
			key = found(key.ID, key.Subject, args...)
		}
		s.found = append(s.found, key)
		linked, err := tx.LinkedProjects()
		if err != nil {
			return err
		}
		for _, p := range linked {
			wants, err := dispatch.WantedEvents(tx, p.ID)
			if err != nil {
				return err
			}
			s.projects = append(s.projects, project{p, wants})
		}
		return s.places(tx)
	})
	return s, err
}

// places notes the namespaces of the cluster that apps use.
func (s *state) places(tx *storage.Tx) error {
	apps, err := tx.Apps()
	if err != nil {
		return err
	}
	for _, a := range apps {
		set, err := tx.BuildSettings(a.Name)
		if err != nil {
			return err
		}
		s.builds = addOnce(s.builds, set.Namespace)
		s.targets = addOnce(s.targets, set.Target.Namespace)
	}
	return nil
}

// disk tells how much room there is.
func (l *look) disk() Finding {
	dir := filepath.Dir(l.cfg.DatabasePath)
	free, known := freeBytes(dir)
	switch {
	case !known:
		return skip("database.disk", "disk", "how much is free cannot be told here")
	case free < leastFree:
		return found("database.disk.low", "disk", "dir", dir, "free", size(free))
	}
	return fine("database.disk", "disk", size(free)+" are free")
}

// size is a number of bytes as people read it.
func size(n uint64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
