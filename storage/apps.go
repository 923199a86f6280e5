package storage

import (
	"errors"

	"kovra.dev/chatops/internal/kovra"
)

func scanApp(s scanner) (kovra.App, error) {
	var a kovra.App
	var at int64
	err := s.Scan(&a.Name, &a.Project, &a.CreatedBy, &at)
	a.CreatedAt = unstamp(at)
	return a, err
}

// App returns the app of that name; [kovra.NotFound] if there is none.
func (tx *Tx) App(name string) (kovra.App, error) {
	a, err := scanApp(tx.row("SELECT name, project, created_by, created_at FROM apps WHERE name = ?", name))
	return a, found(err, "There is no app called %q.", name)
}

// Apps returns all apps by name.
func (tx *Tx) Apps() ([]kovra.App, error) {
	return list(tx, scanApp, "SELECT name, project, created_by, created_at FROM apps ORDER BY name")
}

// AppsOfProject returns the apps that are linked to a GitLab project, by name.
func (tx *Tx) AppsOfProject(project int64) ([]kovra.App, error) {
	return list(tx, scanApp, "SELECT name, project, created_by, created_at FROM apps WHERE project = ? AND project <> 0 ORDER BY name", project)
}

// SaveApp makes or changes an app. What its threads offer depends on its project.
func (tx *Tx) SaveApp(a kovra.App) error {
	old, err := tx.App(a.Name)
	if err == nil && old.Project != a.Project {
		err = errors.Join(tx.bumpThreadsOf(a.Name), tx.forgetHead(a.Name))
	}
	refresh := func() error { return tx.bumpHomes("") }
	if kovra.KindOf(err) == kovra.NotFound {
		refresh, err = tx.bumpAllHomes, nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(tx.writeApp(a), refresh()); err != nil || old.Project == a.Project {
		return err
	}
	return tx.reviewHooks()
}

func (tx *Tx) writeApp(a kovra.App) error {
	_, err := tx.exec(`INSERT INTO apps (name, project, created_by, created_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET project = excluded.project`,
		a.Name, a.Project, a.CreatedBy, stamp(a.CreatedAt))
	return err
}

// DeleteApp removes an app and its subscriptions. Runs and threads stay: they are history.
func (tx *Tx) DeleteApp(name string) error {
	if _, err := tx.exec("DELETE FROM subscriptions WHERE app = ?", name); err != nil {
		return err
	}
	if err := tx.forgetHead(name); err != nil {
		return err
	}
	if _, err := tx.exec("DELETE FROM build_settings WHERE app = ?", name); err != nil {
		return err
	}
	if _, err := tx.exec("DELETE FROM apps WHERE name = ?", name); err != nil {
		return err
	}
	return errors.Join(tx.bumpThreadsOf(name), tx.bumpAllHomes(), tx.reviewHooks())
}

func scanProject(s scanner) (kovra.Project, error) {
	var p kovra.Project
	var id int64
	var doc string
	if err := s.Scan(&id, &doc); err != nil {
		return p, err
	}
	err := decode(doc, &p)
	p.ID = id
	return p, err
}

// Project returns a GitLab project that is or was linked.
func (tx *Tx) Project(id int64) (kovra.Project, error) {
	p, err := scanProject(tx.row("SELECT id, doc FROM projects WHERE id = ?", id))
	return p, found(err, "The GitLab project %d is not known.", id)
}

// SaveProject makes or changes a project.
func (tx *Tx) SaveProject(p kovra.Project) error {
	doc, err := encode(p)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO projects (id, path, doc) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET path = excluded.path, doc = excluded.doc`, p.ID, p.Path, doc)
	return err
}

// LinkedProjects returns the projects that at least one app is linked to.
func (tx *Tx) LinkedProjects() ([]kovra.Project, error) {
	return list(tx, scanProject, "SELECT id, doc FROM projects WHERE id IN (SELECT project FROM apps) ORDER BY id")
}

// KickProject has the project looked at soon after the commit.
func (tx *Tx) KickProject(id int64) { tx.touch(kovra.RefProject, id) }
