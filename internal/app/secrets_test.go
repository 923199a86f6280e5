package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kovra.dev/chatops/internal/kovra"
)

// secretFiles are files that hold secrets, by the variable that names them.
type secretFiles struct {
	*testing.T
	dir string
}

// put has the file of a secret say something else, and returns the setting that names it.
func (f secretFiles) put(name, value string) string {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+".new", []byte(value+"\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.Fatal(err)
	}
	return name + "_FILE=" + path
}

// lines are what was logged; the program writes while a test reads.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func encryptionKey(letter string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, keyLen)))
}

// TestSecretsAreRenewed: within a minute of the change of its file each secret is used by whoever holds it.
func TestSecretsAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, f := &lines{}, secretFiles{t, t.TempDir()}
		o := newOutside().options()
		o.Log = slog.New(slog.NewTextHandler(log, nil))
		a := built(t, o,
			"KOVRA_SLACK_BOT_TOKEN=", f.put("KOVRA_SLACK_BOT_TOKEN", "xoxb-sim"), "KOVRA_GITLAB_TOKEN=", f.put("KOVRA_GITLAB_TOKEN", "glpat-sim"),
			"KOVRA_GITLAB_WEBHOOK_SECRET=", f.put("KOVRA_GITLAB_WEBHOOK_SECRET", "hook-secret"), f.put("KOVRA_ENCRYPTION_KEY", encryptionKey("a")))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx, nil) }()
		hook := func(secret string) int {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/webhooks/gitlab", strings.NewReader(secret))
			r.Header.Set("X-Gitlab-Token", secret)
			w := httptest.NewRecorder()
			a.Handler().ServeHTTP(w, r)
			return w.Code
		}
		key := kovra.LogKey{Kind: kovra.JobLog, Project: 1, ID: 2}
		link := a.db.LogLink(key)

		f.put("KOVRA_SLACK_BOT_TOKEN", "xapp-hunter2") // no bot token
		f.put("KOVRA_ENCRYPTION_KEY", encryptionKey("b"))
		time.Sleep(3 * time.Minute)
		said := log.String()
		if strings.Count(said, "the secret of before goes on") != 1 || !strings.Contains(said, "KOVRA_SLACK_BOT_TOKEN_FILE: it is an app-level token") ||
			!strings.Contains(said, "KOVRA_ENCRYPTION_KEY_FILE: the key that seals now is not in it") || strings.Contains(said, "hunter2") {
			t.Errorf("what is wrong must be said once, and no secret: %s", said)
		}
		if a.live.Get().SlackBotToken != "xoxb-sim" || a.db.LogLink(key) != link {
			t.Error("a wrong value was taken")
		}

		f.put("KOVRA_SLACK_BOT_TOKEN", "xoxb-new")
		f.put("KOVRA_GITLAB_TOKEN", "glpat-new")
		f.put("KOVRA_GITLAB_WEBHOOK_SECRET", "hook-new,hook-secret")
		f.put("KOVRA_ENCRYPTION_KEY", encryptionKey("b")+","+encryptionKey("a"))
		time.Sleep(time.Minute)
		if hook("hook-new") != http.StatusOK || hook("hook-secret") != http.StatusOK || hook("other") != http.StatusUnauthorized {
			t.Error("the list of webhook secrets is not the one of the file")
		}
		if a.db.LogLink(key) == link {
			t.Error("the new key does not sign")
		}
		if _, ok := a.db.OpenLink(link); !ok {
			t.Error("the old key opens nothing any more")
		}
		if got := newGitLabWorld(nil, a.db, a.live).hook().Secret; got != "hook-new" {
			t.Errorf("a new hook gets %q, want the first of the list", got)
		}
		if got := a.live.Get(); got.SlackBotToken != "xoxb-new" || got.GitLabToken != "glpat-new" {
			t.Error("a token is not the one of its file")
		}
		if said := log.String(); strings.Contains(said, "xoxb-new") || strings.Contains(said, "glpat-new") || strings.Contains(said, "hook-new") {
			t.Errorf("a secret is in the log: %s", said)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
