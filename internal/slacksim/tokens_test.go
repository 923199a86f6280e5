package slacksim_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"kovra.dev/chatops/internal/slacksim"
)

// bearer calls a method with a token in the header and returns the body of the answer.
func bearer(t *testing.T, s *slacksim.Server, method, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://slack.sim/api/"+method, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestKindsOfTokens(t *testing.T) {
	s := slacksim.New(slacksim.Options{SocketMode: true, AppScopes: []string{"authorizations:read"}, UserToken: "xoxp-ann", UserTokenOf: "U1"})
	s.AddUser(slacksim.User{ID: "U1", Name: "ann"})
	if got := bearer(t, s, "auth.test", "xoxb-sim"); !strings.Contains(got, `"bot_id"`) {
		t.Errorf("the bot's: %s", got)
	}
	if got := bearer(t, s, "auth.test", "xoxp-ann"); strings.Contains(got, `"bot_id"`) || !strings.Contains(got, `"user":"ann"`) {
		t.Errorf("a user's: %s", got)
	}
	if got := bearer(t, s, "users.info", "xoxp-ann"); !strings.Contains(got, "invalid_auth") {
		t.Errorf("a user's token does more than say who it is: %s", got)
	}
	if got := bearer(t, s, "apps.connections.open", "xapp-sim"); !strings.Contains(got, "missing_scope") || !strings.Contains(got, "connections:write") {
		t.Errorf("an app's without the scope: %s", got)
	}
}
