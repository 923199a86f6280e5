package dispatch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// heads finds pushes that no webhook told of: it reads where the branches are that apps of a project build.
func (p Projects) heads(ctx context.Context, project int64) error {
	if p.world.Cluster == nil || p.world.Commits == nil {
		return nil
	}
	var branches map[string]map[string]string
	err := p.db.Read(ctx, func(tx *storage.Tx) (err error) {
		branches, err = builtBranches(tx, project)
		return err
	})
	if err != nil {
		return err
	}
	for branch, heads := range branches {
		c, err := p.world.Commits.Branch(ctx, project, branch)
		if notShown(err) {
			continue // there is no such branch
		}
		if err != nil {
			return err
		}
		err = p.db.Update(ctx, func(tx *storage.Tx) error {
			now, err := builtBranches(tx, project)
			if err != nil || !maps.Equal(now[branch], heads) {
				return err // a webhook told of it meanwhile, and may know better
			}
			_, err = tx.TakePush(kovra.Push{Project: project, Ref: branch, Read: true, After: c.SHA, Title: c.Title, Author: c.Author})
			return err
		})
		if err != nil {
			return err
		}
	}
	return p.tags(ctx, project)
}

// Of the tags of a project so many are looked at, and those that are not older. Others were looked at before.
const (
	newestTags = 20
	tagsBack   = 24 * time.Hour
)

// tags finds tags that no webhook told of: some get lost, and GitLab sends none for more than three that are pushed at once.
func (p Projects) tags(ctx context.Context, project int64) error {
	wanted := false
	err := p.db.Read(ctx, func(tx *storage.Tx) error {
		apps, err := tx.AppsOfProject(project)
		for _, app := range apps {
			s, failed := tx.BuildSettings(app.Name)
			err = errors.Join(err, failed)
			wanted = wanted || s.Enabled && s.Tags != ""
		}
		return err
	})
	if err != nil || !wanted {
		return err
	}
	tags, err := p.world.Commits.Tags(ctx, project, newestTags)
	if err != nil {
		if notShown(err) {
			return nil
		}
		return err
	}
	since := p.db.Now().Add(-tagsBack)
	tags = slices.DeleteFunc(tags, func(t kovra.Tag) bool { return t.MadeAt.Before(since) })
	slices.Reverse(tags) // the newest is built last
	if len(tags) == 0 {
		return nil
	}
	return p.db.Update(ctx, func(tx *storage.Tx) error {
		for _, t := range tags {
			push := kovra.Push{
				Project: project, Ref: t.Name, Tag: true, Read: true, After: t.Commit.SHA, Title: t.Commit.Title, Author: t.Commit.Author, At: t.MadeAt,
			}
			if _, err := tx.TakePush(push); err != nil {
				return err
			}
		}
		return nil
	})
}

// builtBranches are the branches of a project that its apps build by themselves, and where each app saw them last.
func builtBranches(tx *storage.Tx, project int64) (map[string]map[string]string, error) {
	apps, err := tx.AppsOfProject(project)
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]string{}
	for _, app := range apps {
		s, err := tx.BuildSettings(app.Name)
		if err != nil {
			return nil, err
		}
		if !s.Enabled {
			continue
		}
		if out[s.Branch] == nil {
			out[s.Branch] = map[string]string{}
		}
		if out[s.Branch][app.Name], err = tx.BuildHead(app.Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}
