package storage

import (
	"database/sql"
	"errors"

	"kovra.dev/chatops/internal/kovra"
)

const deploymentColumns = "id, build, app, version, driven_version, doc"

func (tx *Tx) scanDeployment(s scanner) (kovra.Deployment, error) {
	var d kovra.Deployment
	var doc, app string
	var id, build, version, driven int64
	if err := s.Scan(&id, &build, &app, &version, &driven, &doc); err != nil {
		return d, err
	}
	err := decode(doc, &d)
	d.ID, d.Build, d.App, d.Version, d.DrivenVersion = id, build, app, version, driven
	d.LogURL = tx.logURL(d.LogKey())
	return d, err
}

// Deployment returns one by id.
func (tx *Tx) Deployment(id int64) (kovra.Deployment, error) {
	d, err := tx.scanDeployment(tx.row("SELECT "+deploymentColumns+" FROM deployments WHERE id = ?", id))
	return d, found(err, "There is no deployment %d.", id)
}

// DeploymentsOf returns the deployments that are shown with a build, oldest first.
func (tx *Tx) DeploymentsOf(build int64) ([]kovra.Deployment, error) {
	return list(tx, tx.scanDeployment, "SELECT "+deploymentColumns+" FROM deployments WHERE build = ? ORDER BY id", build)
}

// DeploymentsOfApp returns the newest deployments of an app, newest first.
func (tx *Tx) DeploymentsOfApp(app string, limit int) ([]kovra.Deployment, error) {
	return list(tx, tx.scanDeployment, "SELECT "+deploymentColumns+" FROM deployments WHERE app = ? ORDER BY id DESC LIMIT ?", app, limit)
}

// LastDeployment returns the newest deployment of an app; [kovra.NotFound] if there was none.
func (tx *Tx) LastDeployment(app string) (kovra.Deployment, error) {
	d, err := tx.scanDeployment(tx.row("SELECT "+deploymentColumns+" FROM deployments WHERE app = ? ORDER BY id DESC LIMIT 1", app))
	return d, found(err, "%s was never deployed from here.", app)
}

// OpenDeployments returns those that have not ended, oldest first.
func (tx *Tx) OpenDeployments() ([]kovra.Deployment, error) {
	return list(tx, tx.scanDeployment, "SELECT "+deploymentColumns+" FROM deployments WHERE final = 0 ORDER BY id")
}

// AddDeployment records a deployment that shall be made, and gives it its id and its name in the cluster. The
// one before it cannot be rolled back any more; its threads show that.
func (tx *Tx) AddDeployment(d kovra.Deployment) (kovra.Deployment, error) {
	d.Status, d.Phase, d.CreatedAt = kovra.BuildPending, kovra.PhaseQueued, tx.now
	before, err := tx.LastDeployment(d.App)
	if err == nil && before.Build != d.Build {
		err = tx.bumpBuildThreads(before.Build)
	}
	if err != nil && kovra.KindOf(err) != kovra.NotFound {
		return d, err
	}
	err = tx.row(`INSERT INTO deployments (build, app, final, version, driven_version, doc) VALUES (?, ?, 0, 0, 0, '{}') RETURNING id`,
		d.Build, d.App).Scan(&d.ID)
	if err != nil {
		return d, err
	}
	d.Name = kovra.RunName(d.App, "d", d.ID, salt())
	return d, tx.SaveDeployment(&d)
}

// SaveDeployment writes a deployment with its next version; the threads of its build show it anew. When it has
// ended, those of the same target that wait for it are looked at.
func (tx *Tx) SaveDeployment(d *kovra.Deployment) error {
	d.Version++
	doc, err := encode(d)
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE deployments SET final = ?, version = ?, doc = ? WHERE id = ?", flag(d.Status.Final()), d.Version, doc, d.ID)
	if err != nil {
		return err
	}
	tx.touch(kovra.RefDeployment, d.ID)
	if d.Status.Final() {
		open, err := tx.OpenDeployments()
		if err != nil {
			return err
		}
		for _, o := range open {
			if o.Target.Same(d.Target) {
				tx.touch(kovra.RefDeployment, o.ID)
			}
		}
	}
	return tx.bumpBuildThreads(d.Build)
}

// SetDeploymentDriven records that dispatch has looked at a version of a deployment.
func (tx *Tx) SetDeploymentDriven(id, version int64) error {
	_, err := tx.exec("UPDATE deployments SET driven_version = max(driven_version, ?) WHERE id = ?", version, id)
	return err
}

// KickDeployment has the deployment looked at soon after the commit.
func (tx *Tx) KickDeployment(id int64) { tx.touch(kovra.RefDeployment, id) }

// BuildSettings returns those of an app; the defaults if nobody has set anything.
func (tx *Tx) BuildSettings(app string) (kovra.BuildSettings, error) {
	var doc string
	err := tx.row("SELECT doc FROM build_settings WHERE app = ?", app).Scan(&doc)
	s := kovra.DefaultBuildSettings(app)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s = kovra.BuildSettings{}
	err = decode(doc, &s)
	s.App = app
	return s, err
}

// SaveBuildSettings writes the settings of an app. head is where the branch is now, as far as it is known: what it has
// already is not built by itself. It counts where the app begins to build that branch; else the head that is known stays, since
// a push may be on its way.
func (tx *Tx) SaveBuildSettings(s kovra.BuildSettings, head string) error {
	old, err := tx.BuildSettings(s.App)
	if err != nil {
		return err
	}
	keep := old.Enabled && s.Enabled && old.Branch == s.Branch
	doc, err := encode(s)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO build_settings (app, head, doc) VALUES (?1, ?2, ?3)
		ON CONFLICT (app) DO UPDATE SET head = CASE WHEN ?4 THEN build_settings.head ELSE excluded.head END, doc = excluded.doc`,
		s.App, head, doc, flag(keep))
	if err != nil {
		return err
	}
	return tx.bumpThreadsOf(s.App)
}

// BuildHead is the commit that the app's branch was last seen at; "" if it was not, or there was no such branch.
func (tx *Tx) BuildHead(app string) (string, error) {
	head, _, err := tx.headOf(app)
	return head, err
}
