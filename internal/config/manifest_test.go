package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheManifestsSettingsLoad reads the settings that manifests/kovra gives to the pod as they are, and with everything that is commented
// out there, where only the files are elsewhere.
func TestTheManifestsSettingsLoad(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "manifests", "kovra", "kovra.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := t.TempDir()
	for key, value := range map[string]string{
		"slack-bot-token": "xoxb-1", "slack-signing-secret": "a", "gitlab-token": "b", "gitlab-webhook-secret": "c",
	} {
		if err := os.WriteFile(filepath.Join(secrets, key), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	here := strings.ReplaceAll(string(text), "/run/secrets/kovra", secrets)
	c := mustLoad(t, nil, write(t, here))
	if c.Listen != ":8080" || c.DatabasePath != "/data/kovra.db" || !c.PublicURLSet || !c.WorkspaceAdmins || c.OAuth() || c.Registry != "" {
		t.Errorf("the settings are %v", c.LogValue())
	}

	for key, value := range map[string]string{
		"slack-app-token": "xapp-1", "gitlab-oauth-client-secret": "d", "encryption-key": goodKey, "gitlab-webhook-signing-token": goodSigning,
	} {
		if err := os.WriteFile(filepath.Join(secrets, key), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := regexp.MustCompile(`(?m)^# (KOVRA_\w+:)`).ReplaceAllString(here, "$1")
	all = regexp.MustCompile(`(?m)^KOVRA_CA_FILE:.*\n`).ReplaceAllString(all, "") // TestCAFile has one
	c = mustLoad(t, nil, write(t, all))
	if !c.OAuth() || c.SlackAppToken == "" || len(c.EncryptionKeys) != 1 || len(c.GitLabSigningTokens) != 1 || c.Registry == "" {
		t.Errorf("with all of them the settings are %v", c.LogValue())
	}
}
