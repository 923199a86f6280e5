package dispatch

import (
	"cmp"
	"fmt"
	"strings"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// prepare decides what is built, once: the name of the image and the address to clone from. A build for which
// that cannot be said has failed.
func (b Builds) prepare(tx *storage.Tx, build *kovra.Build) (bool, error) {
	if build.Phase != kovra.PhaseStarted || build.Spec.Image != "" && build.Spec.CloneURL != "" {
		return false, nil
	}
	p, err := tx.Project(build.Project)
	if ignoreNotFound(err) != nil {
		return false, err
	}
	repository, err := b.repository(tx, build.App, build.Spec.Registry)
	if err == nil && p.URL == "" {
		err = kovra.Errorf(kovra.Conflict, "The address of its GitLab project is not known.")
	}
	switch kovra.KindOf(err) {
	case kovra.Conflict, kovra.Invalid:
		build.End(kovra.BuildFailed, kovra.ReasonRefused, kovra.PublicText(err), b.db.Now())
		return true, nil
	default: // fine, or a fault of ours
	}
	if err != nil {
		return false, err
	}
	build.Spec.Image = repository + ":" + build.ShortSHA()
	build.Spec.CloneURL = strings.TrimSuffix(p.URL, "/") + ".git"
	return true, nil
}

// repository is where an app's images go. No two apps have the same one: they could overwrite each other's images.
func (d *Dispatch) repository(tx *storage.Tx, app, registry string) (string, error) {
	registry = cmp.Or(registry, d.opts.Registry)
	switch {
	case registry == "":
		return "", kovra.Errorf(kovra.Conflict, "There is no registry to push to: set KOVRA_REGISTRY, or a registry of its own in the settings of %s.", app)
	case strings.HasSuffix(app, "-"):
		return "", kovra.Errorf(kovra.Invalid, "No image can be called %q: registries refuse names that end in a dash.", app)
	}
	mine := strings.TrimSuffix(registry, "/") + "/" + app
	apps, err := tx.Apps()
	if err != nil {
		return "", err
	}
	for _, o := range apps {
		if o.Name == app {
			continue
		}
		s, err := tx.BuildSettings(o.Name)
		if err != nil {
			return "", err
		}
		other := strings.TrimSuffix(cmp.Or(s.Registry, d.opts.Registry), "/") + "/" + o.Name
		if mine == other {
			return "", kovra.Errorf(kovra.Conflict, "%s would push to %s, as %s does: they would overwrite each other's images.", app, mine, o.Name)
		}
	}
	return mine, nil
}

// autoDeploy has the image of a build deployed that was to be deployed, or says why it is not.
func (b Builds) autoDeploy(tx *storage.Tx, build *kovra.Build) error {
	if build.Status != kovra.BuildSucceeded || !build.Spec.Deploy {
		return nil
	}
	why, err := b.whyNotDeploy(tx, build)
	if err != nil || why != "" {
		build.Message = cmp.Or(why, build.Message)
		return err
	}
	_, err = tx.AddDeployment(kovra.Deployment{
		Build: build.ID, App: build.App, Kind: kovra.AutoDeploy, Target: build.Spec.Target, Image: build.ImageByDigest(),
		AllowManaged: build.Spec.AllowManaged,
	})
	return err
}

// whyNotDeploy says why an image that was just pushed is not deployed; "" if it is. Builds may end in another order than
// they were pushed in: an older commit does not take the place of a newer one.
func (b Builds) whyNotDeploy(tx *storage.Tx, build *kovra.Build) (string, error) {
	if build.Digest == "" {
		return "Not deployed: the cluster did not tell the digest of the image.", nil
	}
	if build.Cancel.Wanted {
		return "Not deployed: it was cancelled, but had been built already.", nil
	}
	app, err := tx.App(build.App)
	if err != nil {
		return fmt.Sprintf("Not deployed: %s was deleted.", build.App), ignoreNotFound(err)
	}
	if app.Project != build.Project {
		return fmt.Sprintf("Not deployed: %s is linked to another GitLab project now.", build.App), nil
	}
	s, err := tx.BuildSettings(build.App)
	if err != nil {
		return "", err
	}
	switch {
	case s.Paused:
		return "Not deployed: auto-deploy has been paused since " + s.PausedSince() + ".", nil
	case !s.AutoDeploy:
		return "Not deployed: auto-deploy was switched off meanwhile.", nil
	case !s.Target.Same(build.Spec.Target):
		return "Not deployed: the settings name another Deployment now.", nil
	}
	newer, err := newerDeployed(tx, build)
	if err != nil || newer == 0 {
		return "", err
	}
	return fmt.Sprintf("Not deployed: build #%d is newer, and was deployed before.", newer), nil
}

// lastDeployments is how many deployments of an app are looked through.
const lastDeployments = 50

// newerDeployed returns a newer build than the given one that was deployed to its target, or is about to be; 0: none.
func newerDeployed(tx *storage.Tx, build *kovra.Build) (int64, error) {
	all, err := tx.DeploymentsOfApp(build.App, lastDeployments)
	if err != nil {
		return 0, err
	}
	for i := range all {
		o := &all[i]
		there := !o.Status.Final() || o.Status == kovra.BuildSucceeded
		if !there || o.Kind == kovra.RollBack || o.Build == build.ID || !o.Target.Same(build.Spec.Target) {
			continue
		}
		other, err := tx.Build(o.Build)
		if err != nil {
			return 0, err
		}
		if newer, err := tx.PushedAfter(other, *build); err != nil || newer {
			return other.ID, err
		}
	}
	return 0, nil
}
