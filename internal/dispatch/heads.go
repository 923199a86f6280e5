package dispatch

import (
	"context"
	"maps"

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
	return nil
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
