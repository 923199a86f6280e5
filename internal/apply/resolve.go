package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"kovra.dev/chatops/internal/kovra"
)

// projectsAtOnce is how many projects GitLab is asked about at the same time.
const projectsAtOnce = 8

// Peers are asked what the names of a file stand for. They are only read.
type Peers interface {
	// Channels are the names, without #, of the channels that the bot can see, by id.
	Channels(ctx context.Context) (map[string]string, error)
	// Project is a project by path, id or address. NotFound, Denied and Invalid say that there is none for the bot.
	Project(ctx context.Context, name string) (kovra.Project, error)
}

// Resolve finds out which channels and projects the names stand for. Slack is asked only if the file has names of channels, and
// GitLab only about projects that are not linked yet. What does not stand for exactly one thing is told as [FileError];
// another error means that somebody could not be asked.
func (d *Document) Resolve(ctx context.Context, now State, peers Peers) error {
	var p problems
	if err := d.resolveChannels(ctx, peers, &p); err != nil {
		return fmt.Errorf("ask Slack for its channels: %w", err)
	}
	if err := d.resolveProjects(ctx, now, peers, &p); err != nil {
		return fmt.Errorf("ask GitLab for projects: %w", err)
	}
	return p.of(d.File)
}

func (d *Document) resolveChannels(ctx context.Context, peers Peers, p *problems) error {
	var byName map[string][]string
	for _, c := range d.allChannels() {
		if !strings.HasPrefix(c.Name, "#") {
			c.id = c.Name
			continue
		}
		if byName == nil {
			var err error
			if d.channels, err = peers.Channels(ctx); err != nil {
				return err
			}
			byName = idsByName(d.channels)
		}
		switch ids := byName[c.Name[1:]]; len(ids) {
		case 1:
			c.id = ids[0]
		case 0:
			p.add(c.Line, "there is no channel %s that the bot can see; invite it there if the channel is private, or write the channel's id", c.Name)
		default:
			p.add(c.Line, "there are %d channels %s (%s); write the id of the one that is meant", len(ids), c.Name, strings.Join(ids, ", "))
		}
	}
	for _, a := range d.Apps {
		seen := map[string]string{}
		for _, c := range a.Channels {
			if other := seen[c.id]; other != "" && c.id != "" {
				p.add(c.Line, "%s is the same channel as %s", c.Name, other)
			}
			seen[c.id] = c.Name
		}
	}
	return nil
}

func (d *Document) allChannels() (all []*Channel) {
	for i := range d.Apps {
		for k := range d.Apps[i].Channels {
			all = append(all, &d.Apps[i].Channels[k])
		}
	}
	return all
}

// idsByName are the ids of channels, sorted, by name.
func idsByName(names map[string]string) map[string][]string {
	out := map[string][]string{}
	for id, name := range names {
		out[name] = append(out[name], id)
	}
	for _, ids := range out {
		slices.Sort(ids)
	}
	return out
}

func (d *Document) resolveProjects(ctx context.Context, now State, peers Peers, p *problems) error {
	known := map[string]kovra.Project{}
	for _, k := range now.Projects {
		known[strings.ToLower(k.Path)], known[strconv.FormatInt(k.ID, 10)] = k, k
	}
	found, refused, err := ask(ctx, peers, d.unknownProjects(known))
	if err != nil {
		return err
	}
	for i := range d.Apps {
		a := &d.Apps[i]
		key := strings.ToLower(a.Project)
		switch {
		case a.Project == "":
		case known[key].ID != 0:
			a.project = known[key]
		case refused[key] != nil:
			p.add(a.projectLine, "%s: %s", a.Name, kovra.PublicText(refused[key]))
		default:
			a.project = found[key]
		}
	}
	return nil
}

// unknownProjects are the projects of the file that no app is linked to, each once.
func (d *Document) unknownProjects(known map[string]kovra.Project) (names []string) {
	seen := map[string]bool{"": true}
	for _, a := range d.Apps {
		key := strings.ToLower(a.Project)
		if _, linked := known[key]; linked || seen[key] {
			continue
		}
		seen[key] = true
		names = append(names, a.Project)
	}
	return names
}

// ask asks GitLab about projects, a few at once. The results are by name in lower case, as GitLab takes them.
func ask(ctx context.Context, peers Peers, names []string) (found map[string]kovra.Project, refused map[string]error, err error) {
	found, refused = map[string]kovra.Project{}, map[string]error{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(projectsAtOnce)
	for _, name := range names {
		g.Go(func() error {
			project, err := peers.Project(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			key := strings.ToLower(name)
			switch kind := kovra.KindOf(err); {
			case err == nil:
				found[key] = project
			case errors.Is(err, kovra.ErrToken), kind != kovra.NotFound && kind != kovra.Denied && kind != kovra.Invalid:
				return err
			default:
				refused[key] = err
			}
			return nil
		})
	}
	return found, refused, g.Wait()
}
