// Command gitserver serves the bare repositories below a directory by git's smart
// protocol over HTTPS. Those below public/ may be read by anybody; all else wants
// the name and the password in GIT_USER and GIT_PASSWORD.
//
//	gitserver -listen 10.244.0.1:3000 -cert server.crt -key server.key -root git
//
// Git's own http-backend does the work.
package main

import (
	"crypto/subtle"
	"flag"
	"log"
	"net/http"
	"net/http/cgi" //nolint:gosec // G504: the fault it warns of was mended in Go 1.6.3
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:3000", "the address to serve")
	cert := flag.String("cert", "", "file of the certificate")
	key := flag.String("key", "", "file of the certificate's key")
	root := flag.String("root", ".", "directory of the repositories")
	flag.Parse()

	user, password := os.Getenv("GIT_USER"), os.Getenv("GIT_PASSWORD")
	if user == "" || password == "" {
		log.Fatal("gitserver: GIT_USER and GIT_PASSWORD must be set")
	}
	backend, err := backend(*root)
	if err != nil {
		log.Fatal("gitserver: ", err)
	}
	server := &http.Server{Addr: *listen, Handler: guard(backend, user, password), ReadHeaderTimeout: time.Minute}
	log.Fatal("gitserver: ", server.ListenAndServeTLS(*cert, *key))
}

func backend(root string) (http.Handler, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	lib, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, err
	}
	return &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(lib)), "git-http-backend"),
		Dir:  root,
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}, nil
}

// guard lets reads of public repositories pass, and everything of one who knows
// the password.
func guard(next http.Handler, user, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, secret, _ := r.BasicAuth()
		known := subtle.ConstantTimeCompare([]byte(name), []byte(user)) & subtle.ConstantTimeCompare([]byte(secret), []byte(password))
		public := strings.HasPrefix(path.Clean(r.URL.Path), "/public/") && !strings.Contains(r.URL.RawQuery+r.URL.Path, "git-receive-pack")
		if known != 1 && !public {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
