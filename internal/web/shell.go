package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"sync"

	"kovra.dev/chatops/internal/kovra"
)

//go:embed page refusal.css
var pageFiles embed.FS

const (
	kindHTML = "text/html; charset=utf-8"
	kindJSON = "application/json"
)

// assetKinds are the files of the page that are served; others are not.
var assetKinds = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png", ".woff2": "font/woff2",
}

// shell is the page without any log in it, and the files that it loads.
type shell struct {
	page   []byte
	assets map[string][]byte
	// version is a hash of all files. All of them are asked for with it: a page never
	// mixes files of two versions, and a browser keeps them for good.
	version string
}

var (
	pageLink   = regexp.MustCompile(`\.\./viewer/[a-z]+\.[a-z0-9]+`)
	moduleLink = regexp.MustCompile(`((?:from|import)\s*\(?\s*")(\./[a-z]+\.js)"`)
)

// loadShell reads the embedded files and adds the version to the addresses in them.
var loadShell = sync.OnceValue(func() *shell {
	s := &shell{assets: map[string][]byte{}}
	sum := sha256.New()
	err := fs.WalkDir(pageFiles, ".", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := pageFiles.ReadFile(file)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", file, len(body), body)
		if name := path.Base(file); name == "page.html" {
			s.page = body
		} else if assetKinds[path.Ext(name)] != "" {
			s.assets[name] = body
		}
		return nil
	})
	if err != nil {
		panic(err) // unreachable: the files are embedded
	}
	s.version = hex.EncodeToString(sum.Sum(nil)[:8])
	s.page = pageLink.ReplaceAll(s.page, []byte("${0}?v="+s.version))
	for name, body := range s.assets {
		if path.Ext(name) == ".js" {
			s.assets[name] = moduleLink.ReplaceAll(body, []byte(`${1}${2}?v=`+s.version+`"`))
		}
	}
	s.page = bytes.TrimSpace(s.page)
	return s
})

// address is where a page below /logs/ finds an asset. It is relative, so that it is right
// behind a proxy that adds a prefix.
func (s *shell) address(name string) string { return "../viewer/" + name + "?v=" + s.version }

// page is the same for all logs: what is in a log is fetched by the page's program.
func (v *Viewer) page(w http.ResponseWriter, r *http.Request, _ kovra.Log) error {
	w.Header().Set("Content-Type", kindHTML)
	return v.send(w, r, v.shell.page)
}

// asset serves one file of the page. One that is asked for without its version is not kept by anybody.
func (v *Viewer) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	body, ok := v.shell.assets[name]
	if !ok {
		v.refuse(w, r, &refusal{status: http.StatusNotFound, text: "There is no such file."})
		return
	}
	w.Header().Set("Content-Type", assetKinds[path.Ext(name)])
	if r.URL.Query().Get("v") == v.shell.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_ = v.send(w, r, body) // a reader that has left misses nothing
}
