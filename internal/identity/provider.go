package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"kovra.dev/chatops/internal/kovra"
)

// OAuth says how people sign in with GitLab. All of it is needed but HTTP.
type OAuth struct {
	ClientID     string
	ClientSecret func() string // asked for before each call, so that it may change
	GitLabURL    string        // base URL, no slash at the end
	PublicURL    string        // how browsers reach us, no slash at the end
	HTTP         *http.Client  // nil: a plain one
}

// What people let us do: with their account, and to find out what they may read.
const (
	scopeConnect = "api"
	scopeRead    = "read_api"
)

const exchangeTime = 10 * time.Second // for one call of the token endpoints

// provider is GitLab as an OAuth provider. Nothing of what it answers, and nothing secret that it is sent, gets
// into an error.
type provider struct {
	OAuth
	public *url.URL
	http   *http.Client
	now    func() time.Time
}

func newProvider(o OAuth, now func() time.Time) *provider {
	plain := http.Client{}
	if o.HTTP != nil {
		plain = *o.HTTP
	}
	// A redirect would take a secret to where nobody meant it to go.
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	plain.Timeout = exchangeTime
	public, err := url.Parse(o.PublicURL)
	if err != nil {
		public = &url.URL{} // unreachable: the configuration has checked it
	}
	return &provider{OAuth: o, public: public, http: &plain, now: now}
}

func (p *provider) config(scope string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret(), RedirectURL: p.PublicURL + callbackPath, Scopes: []string{scope},
		Endpoint: oauth2.Endpoint{
			AuthURL: p.GitLabURL + "/oauth/authorize", TokenURL: p.GitLabURL + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

func (p *provider) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, p.http)
}

// exchange turns the code of a sign-in into tokens. Class: at most once; a code works once.
func (p *provider) exchange(ctx context.Context, scope, code, verifier string) (kovra.TokenPair, error) {
	t, err := p.config(scope).Exchange(p.with(ctx), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return kovra.TokenPair{}, failure("exchange a code", err)
	}
	return p.pair(t), nil
}

// refresh turns a refresh token into a new pair; the old one is dead then. Class: at most once: when
// the answer is lost, both pairs are, and the next attempt ends in the error Unconnected.
func (p *provider) refresh(ctx context.Context, old kovra.TokenPair) (kovra.TokenPair, error) {
	t, err := p.config(scopeConnect).TokenSource(p.with(ctx), &oauth2.Token{RefreshToken: old.Refresh}).Token()
	if err != nil {
		return kovra.TokenPair{}, failure("refresh a token", err)
	}
	return p.pair(t), nil
}

// pair is what is kept of tokens. Those that do not say when they end are taken to live for good.
func (p *provider) pair(t *oauth2.Token) kovra.TokenPair {
	pair := kovra.TokenPair{Access: t.AccessToken, Refresh: t.RefreshToken}
	if t.ExpiresIn > 0 {
		pair.Expires = p.now().Add(time.Duration(t.ExpiresIn) * time.Second)
	}
	return pair
}

// revoke has GitLab forget a pair of tokens. Class: by id; one that is gone already is fine.
func (p *provider) revoke(ctx context.Context, pair kovra.TokenPair) error {
	for _, token := range []struct{ hint, value string }{{"refresh_token", pair.Refresh}, {"access_token", pair.Access}} {
		if token.value == "" {
			continue
		}
		form := url.Values{"client_id": {p.ClientID}, "client_secret": {p.ClientSecret()}, "token": {token.value}, "token_type_hint": {token.hint}}
		if err := p.post(ctx, "/oauth/revoke", form); err != nil {
			return err
		}
	}
	return nil
}

func (p *provider) post(ctx context.Context, path string, form url.Values) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.GitLabURL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return errors.New("the address of GitLab is none") // unreachable: the configuration has checked it
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.http.Do(req)
	if err != nil {
		return failure("revoke a token", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return refusal("revoke a token", res, "")
	}
	return nil
}

// failure translates an error of the token endpoints. The SDK's own errors carry the answer, so they go no further.
func failure(what string, err error) error {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok && answer.Response != nil {
		return refusal(what, answer.Response, answer.ErrorCode)
	}
	cause := errors.New(what + ": an answer that makes no sense")
	if failed, ok := errors.AsType[*url.Error](err); ok {
		cause = fmt.Errorf("%s: %w", what, failed.Err)
	}
	return &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab cannot be reached at the moment. Please try again in a moment.", Err: cause}
}

// refusals are the words of RFC 6749 that may stand in our log.
var refusals = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

func refusal(what string, res *http.Response, code string) error {
	if !slices.Contains(refusals, code) {
		code = ""
	}
	cause := fmt.Errorf("%s: gitlab answers %d %s", what, res.StatusCode, code)
	switch {
	case code == "invalid_grant":
		return &kovra.Error{Kind: kovra.Unconnected, Public: kovra.PublicText(errUnconnected()), Err: cause}
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= http.StatusInternalServerError:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return &kovra.Error{
			Kind: kovra.Unavailable, Public: "GitLab has trouble at the moment. Please try again in a moment.", Err: cause,
			Retry: time.Duration(min(max(seconds, 0), 600)) * time.Second,
		}
	}
	return &kovra.Error{
		Kind: kovra.Internal, Public: "GitLab does not accept the OAuth application of this bot. An administrator of the bot has to look at it.", Err: cause,
	}
}
