package config

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// replace puts text in the place of a file as editors do: a new file, renamed over the old one.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// refresh reads the files again; want are the settings that must have changed.
func refresh(t *testing.T, l *Live, want ...string) {
	t.Helper()
	got, err := l.Refresh()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("changed %v, %v; want %v", got, err, want)
	}
}

func newKey(letter string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, keyBytes)))
}

// TestLiveFollowsEverySecret: each setting that may be a file is followed, whichever it is.
func TestLiveFollowsEverySecret(t *testing.T) {
	values := map[string][2]string{ // before and after, as they stand in the configuration
		"KOVRA_SLACK_BOT_TOKEN": {"xoxb-1", "xoxb-2"},
		signingSecret:           {"sign-1", "sign-2"},
		appToken:                {"xapp-1", "xapp-2"},
		"KOVRA_GITLAB_TOKEN":    {"glpat-1", "glpat-2"},
		webhookSecret:           {"hook-1", "hook-2,hook-1"},
		signingToken:            {goodSigning, goodSigning + "," + goodSigning},
		oauthSecret:             {"client-1", "client-2"},
		encryptKey:              {goodKey, newKey("n") + "," + goodKey},
	}
	for _, s := range settings {
		if !s.Secret {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			value, known := values[s.Name]
			if !known {
				t.Fatal("a secret without a test")
			}
			path := write(t, value[0]+"\n")
			environ := required("KOVRA_PUBLIC_URL=https://kovra.example.com", oauthID+"=id", oauthSecret+"=c", encryptKey+"="+goodKey, s.Name+fileSuffix+"="+path)
			environ = slices.DeleteFunc(environ, func(e string) bool { return strings.HasPrefix(e, s.Name+"=") })
			first := mustLoad(t, environ, "")
			l := NewLive(first)
			refresh(t, l)
			replace(t, path, value[1]+"\n")
			refresh(t, l, s.Name)
			if got := s.get(l.Get()); got != value[1] {
				t.Errorf("it is %q, want %q", got, value[1])
			}
			if got := s.get(first); got != value[0] {
				t.Errorf("what was handed out before changed to %q", got)
			}
			refresh(t, l)
		})
	}
}

// TestLiveKeepsWhatWorks: a value that Load would refuse is told once and kept out, also while others change.
func TestLiveKeepsWhatWorks(t *testing.T) {
	bot, hooks := write(t, "xoxb-1"), write(t, "hook-1")
	environ := slices.DeleteFunc(required("KOVRA_SLACK_BOT_TOKEN_FILE="+bot, "KOVRA_GITLAB_WEBHOOK_SECRET_FILE="+hooks), func(e string) bool {
		return strings.HasPrefix(e, "KOVRA_SLACK_BOT_TOKEN=") || strings.HasPrefix(e, webhookSecret+"=")
	})
	l := NewLive(mustLoad(t, environ, ""))
	for _, c := range []struct{ text, want string }{
		{"xapp-hunter2", "it is an app-level token"},
		{"xoxb-hunter2 ", "it has blanks around it"},
		{"xoxb-\x00hunter2", "control characters"},
		{"", "is empty"},
		{strings.Repeat("hunter2", maxFile), "larger than 1 MiB"},
	} {
		replace(t, bot, c.text)
		replace(t, hooks, "hook-1,"+c.want)
		changed, err := l.Refresh()
		if err == nil || !strings.Contains(err.Error(), "KOVRA_SLACK_BOT_TOKEN_FILE: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error gives the secret away: %v", err)
		}
		if !slices.Equal(changed, []string{webhookSecret}) {
			t.Errorf("%q: changed %v, want the other one", c.text, changed)
		}
		if got := l.Get().SlackBotToken.Reveal(); got != "xoxb-1" {
			t.Errorf("%q: the token is now %q", c.text, got)
		}
		refresh(t, l) // it is not told again
	}
	if err := os.Remove(bot); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Refresh(); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
	replace(t, bot, "xoxb-2")
	refresh(t, l, "KOVRA_SLACK_BOT_TOKEN")
	replace(t, bot, "")
	if _, err := l.Refresh(); err == nil {
		t.Error("what is wrong again after it was right must be told again")
	}
}

// TestLiveNeverDropsTheKeyInUse: what is sealed with it could not be opened any more.
func TestLiveNeverDropsTheKeyInUse(t *testing.T) {
	path := write(t, goodKey)
	l := NewLive(mustLoad(t, required("KOVRA_ENCRYPTION_KEY_FILE="+path), ""))
	replace(t, path, newKey("n"))
	if changed, err := l.Refresh(); err == nil || len(changed) > 0 || !strings.Contains(err.Error(), "the key that seals now is not in it") {
		t.Errorf("changed %v, %v", changed, err)
	}
	replace(t, path, newKey("n")+","+goodKey)
	refresh(t, l, encryptKey)
	replace(t, path, newKey("n")) // all is sealed anew with it by now
	refresh(t, l, encryptKey)
}

// TestLiveFollowsASymlinkSwap: Kubernetes puts a new directory beside the old one and renames a link to it over the old link.
func TestLiveFollowsASymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	mount := func(version, token string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, version, "token"), token)
		link := filepath.Join(dir, "..data")
		if err := os.Symlink(version, link+"_tmp"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+"_tmp", link); err != nil {
			t.Fatal(err)
		}
	}
	mount("..1", "glpat-1")
	if err := os.Symlink(filepath.Join("..data", "token"), filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	environ := slices.DeleteFunc(required("KOVRA_GITLAB_TOKEN_FILE="+filepath.Join(dir, "token")), func(e string) bool { return e == "KOVRA_GITLAB_TOKEN=glpat-1" })
	l := NewLive(mustLoad(t, environ, ""))
	mount("..2", "glpat-2")
	refresh(t, l, "KOVRA_GITLAB_TOKEN")
	if got := l.Get().GitLabToken.Reveal(); got != "glpat-2" {
		t.Errorf("the token is %q", got)
	}
}
