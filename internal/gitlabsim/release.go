package gitlabsim

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Release is a release of a tag. Name "" is the tag.
type Release struct {
	ID                     int64
	Tag, Name, Description string
}

type release struct {
	Release
	created time.Time
}

// CreateRelease makes the release of a tag that is there and fires its hook, which names nobody.
func (s *Server) CreateRelease(projectID int64, r Release) Release {
	s.act(func() {
		p := s.mustProject(projectID)
		if _, found := p.tags[r.Tag]; !found || p.release(r.Tag) != nil {
			panic(fmt.Sprintf("gitlabsim: project %d cannot release %q: no such tag, or released already", p.ID, r.Tag))
		}
		if r.ID == 0 {
			r.ID = s.id("release", 801)
		}
		r.Name = cmp.Or(r.Name, r.Tag)
		made := &release{Release: r, created: s.now()}
		p.releases = append(p.releases, made)
		s.emitRelease(p, made, "create")
	})
	return r
}

// UpdateRelease changes name and description of a tag's release and fires its hook.
func (s *Server) UpdateRelease(projectID int64, tag, name, description string) {
	s.act(func() {
		p := s.mustProject(projectID)
		r := p.mustRelease(tag)
		r.Name, r.Description = name, description
		s.emitRelease(p, r, "update")
	})
}

// DeleteRelease removes the release of a tag, which stays, and fires its hook.
func (s *Server) DeleteRelease(projectID int64, tag string) {
	s.act(func() {
		p := s.mustProject(projectID)
		r := p.mustRelease(tag)
		p.releases = slices.DeleteFunc(p.releases, func(o *release) bool { return o == r })
		s.emitRelease(p, r, "delete")
	})
}

func (p *project) release(tag string) *release {
	for _, r := range p.releases {
		if r.Tag == tag {
			return r
		}
	}
	return nil
}

func (p *project) mustRelease(tag string) *release {
	r := p.release(tag)
	if r == nil {
		panic(fmt.Sprintf("gitlabsim: project %d has no release of %q", p.ID, tag))
	}
	return r
}

func (s *Server) emitRelease(p *project, r *release, action string) {
	s.emit(p, flagOf[eventRelease], eventRelease, func() object { return s.releasePayload(p, r, action) })
}

// releasePayload is the release hook. It has no user.
func (s *Server) releasePayload(p *project, r *release, action string) object {
	sources := []object{}
	for _, format := range []string{"zip", "tar.gz", "tar.bz2", "tar"} {
		url := fmt.Sprintf("%s/-/archive/%s/%s-%s.%s", s.web(p), r.Tag, p.name(), r.Tag, format)
		sources = append(sources, object{"format": format, "url": url})
	}
	return object{
		"id": r.ID, "created_at": hookTime(r.created), "description": r.Description, "name": r.Name, "released_at": hookTime(r.created),
		"tag": r.Tag, "object_kind": "release", "project": s.projectHook(p, true), "url": s.web(p) + "/-/releases/" + r.Tag,
		"action": action, "assets": object{"count": len(sources), "links": []object{}, "sources": sources},
		"commit": s.commitHook(p, p.tags[r.Tag].sha),
	}
}
