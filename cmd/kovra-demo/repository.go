package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"kovra.dev/chatops/internal/gitlabsim"
)

const (
	maxRefs     = 4 << 20 // bytes
	maxBranches = 10      // that are there from the beginning
)

// real is what the demo builds from on a real cluster: the simulated GitLab has no
// repository to clone, so one of its projects stands for one that exists.
type real struct {
	url     string // of its page; with .git, to clone from
	project *gitlabsim.ProjectHandle
}

// newReal checks the address of a repository.
func newReal(address string) (*real, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimRight(address, "/"), ".git"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the repository: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", strings.Trim(u.Path, "/") == "", u.User != nil:
		return nil, errors.New("the repository must be an address without a name or password that begins with https:// or http://")
	}
	return &real{url: u.String()}, nil
}

// heads asks the repository for its branches and their commits.
func (r *real) heads(ctx context.Context, client *http.Client) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+".git/info/refs?service=git-upload-pack", nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the branches: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the branches: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it is only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s for the branches: %s", r.url, resp.Status)
	}
	heads, err := readHeads(io.LimitReader(resp.Body, maxRefs))
	if err != nil {
		return nil, fmt.Errorf("read the branches of %s: %w", r.url, err)
	}
	return heads, nil
}

// readHeads reads what git's smart protocol says of the branches: lines that begin with
// their length in four hexadecimal digits, where 0000 ends a part.
func readHeads(in io.Reader) (map[string]string, error) {
	heads := map[string]string{}
	from := bufio.NewReader(in)
	for {
		size := make([]byte, 4)
		if _, err := io.ReadFull(from, size); errors.Is(err, io.EOF) {
			return heads, nil
		} else if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(string(size), 16, 16)
		if err != nil {
			return nil, fmt.Errorf("no length of a line: %q", size)
		}
		if n <= 4 {
			continue
		}
		line := make([]byte, n-4)
		if _, err := io.ReadFull(from, line); err != nil {
			return nil, err
		}
		text, _, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\x00")
		if sha, name, is := strings.Cut(text, " refs/heads/"); is {
			heads[name] = sha
		}
	}
}

// addReal adds the project that stands for the repository, with the first of its branches.
func (w *world) addReal(ctx context.Context) error {
	heads, err := w.real.heads(ctx, &w.courier)
	if err != nil {
		return err
	}
	if len(heads) == 0 {
		return fmt.Errorf("%s has no branch", w.real.url)
	}
	names := usualFirst(heads)
	p := project("group/" + slug(path.Base(w.real.url)))
	p.URL, p.DefaultBranch, p.Protected = w.real.url, names[0], nil
	w.real.project = w.gitlab.AddProject(p)
	for _, name := range names[:min(len(names), maxBranches)] {
		w.pushReal(name, heads[name], "", "alice")
	}
	return nil
}

// pushAgain pushes what is really on a branch now.
func (w *world) pushAgain(ctx context.Context, in pushing) (any, error) {
	heads, err := w.real.heads(ctx, &w.courier)
	if err != nil {
		return nil, err
	}
	sha := heads[in.Branch]
	if sha == "" {
		return nil, fmt.Errorf("%s has no branch %q: what is pushed here must be there already", w.real.url, in.Branch)
	}
	w.pushReal(in.Branch, sha, in.Title, or(in.Author, "alice"))
	return map[string]int64{}, nil
}

func (w *world) pushReal(branch, sha, title, author string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.real.project.ID
	w.gitlab.PushCommits(id, branch, author, gitlabsim.NewCommit{SHA: sha, Title: or(title, "Newest commit of "+branch)})
	if !slices.Contains(w.branches[id], branch) {
		w.branches[id] = append(w.branches[id], branch)
	}
	w.labMoved.tell()
}

// usualFirst lists branches, the one first that is the default of most repositories.
func usualFirst(heads map[string]string) []string {
	rank := func(name string) int {
		if i := slices.Index([]string{"main", "master", "trunk"}, name); i >= 0 {
			return i
		}
		return 3
	}
	var names []string
	for name := range heads {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

// slug makes the name of a project of the name of a repository.
func slug(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name)), "-")
}
