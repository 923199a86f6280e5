package slacksim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// File is an uploaded file.
type File struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Title   string `json:"title"`
	Size    int    `json:"size"`
	Content []byte `json:"-"`
}

// upload is a file on its way.
type upload struct {
	File
	arrived, done bool
}

func (s *Server) filesGetUploadURL(a args) reply {
	name, size := a.str("filename"), a.number("length", 0)
	if name == "" || size <= 0 {
		return fail("invalid_arguments", "[ERROR] filename and a positive length are required")
	}
	f := &upload{File: File{ID: s.id("F"), Name: name, Title: name, Size: size}}
	s.files[f.ID] = f
	return ok(reply{"upload_url": s.base() + "/upload/" + f.ID, "file_id": f.ID})
}

// serveUpload takes the bytes of a file, raw or as a multipart form.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	c := Call{Method: "upload"}
	content, err := uploaded(r)
	s.faulty(w, r, &c, func() (int, any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f := s.files[strings.TrimPrefix(r.URL.Path, "/upload/")]
		switch {
		case err != nil:
			return http.StatusBadRequest, err.Error()
		case f == nil:
			return http.StatusNotFound, "no such upload"
		case len(content) != f.Size:
			return http.StatusBadRequest, fmt.Sprintf("%d bytes announced, %d received", f.Size, len(content))
		}
		f.Content, f.arrived = content, true
		return http.StatusOK, fmt.Sprintf("OK - %d", len(content))
	})
}

func uploaded(r *http.Request) ([]byte, error) {
	var from io.Reader = r.Body
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		parts, err := r.MultipartReader()
		if err != nil {
			return nil, fmt.Errorf("read upload: %w", err)
		}
		from, err = parts.NextPart()
		if err != nil {
			return nil, fmt.Errorf("read upload: %w", err)
		}
	}
	content, err := io.ReadAll(from)
	if err != nil {
		return nil, fmt.Errorf("read upload: %w", err)
	}
	return content, nil
}

func (s *Server) filesComplete(a args) reply {
	var wanted []struct{ ID, Title string }
	if err := json.Unmarshal([]byte(a.str("files")), &wanted); err != nil || len(wanted) == 0 {
		return fail("invalid_arguments", "[ERROR] files must be a list")
	}
	var done []File
	for _, one := range wanted {
		f := s.files[one.ID]
		if f == nil || !f.arrived || f.done {
			return fail("file_not_found")
		}
		if one.Title != "" {
			f.Title = one.Title
		}
		done = append(done, f.File)
	}
	said, refused := s.readContent(args{"text": {a.str("initial_comment")}, "blocks": {a.str("blocks")}}, true)
	if refused != nil {
		return refused
	}
	if id := a.str("channel_id"); id != "" {
		c, refusal := s.postChannel(id)
		if refusal != "" {
			return fail(refusal)
		}
		m := s.post(c, said, a.str("thread_ts"))
		m.Files = done
	}
	for _, f := range done {
		s.files[f.ID].done = true
	}
	return ok(reply{"files": done})
}

// File gives an uploaded file with its content.
func (s *Server) File(id string) (File, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[id]; f != nil {
		return f.File, true
	}
	return File{}, false
}
