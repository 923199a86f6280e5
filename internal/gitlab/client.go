package gitlab

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"
	"golang.org/x/oauth2"
	"golang.org/x/time/rate"

	"kovra.dev/chatops/internal/kovra"
)

const (
	defaultTimeout = 15 * time.Second
	perPage        = 100 // the most that GitLab gives
	apiPath        = "/api/v4/"

	// A read that failed on the way is repeated once, soon: people may be waiting,
	// and everything beyond that is the business of a loop.
	readRetries = 1
	retryWait   = 150 * time.Millisecond

	rememberedCommits = 1024
	rememberedParents = 1024
	rememberedRefs    = 1024
	rememberedPeople  = 1024
)

// Options say which GitLab to speak to and as whom.
type Options struct {
	URL string // base URL, https://gitlab.com or with a path below it
	// Token is the token of the bot user, sent as PRIVATE-TOKEN. It is asked for before each call, so that it may change.
	Token func() string
	OAuth bool         // Token is a person's access token
	HTTP  *http.Client // its transport is used; nil: the default transport
	Log   *slog.Logger // nil: nothing is logged
	Now   func() time.Time
	// Timeout is the deadline of each call, its one repetition included; 0: 15
	// seconds. For a trace it is the longest silence.
	Timeout time.Duration
}

// Client speaks to one GitLab as one user.
type Client struct {
	gl      *gl.Client
	http    *http.Client
	base    *url.URL // without a slash at the end
	token   func() string
	person  bool // it speaks as a person, not as the bot
	log     *slog.Logger
	now     func() time.Time
	timeout time.Duration

	commits *memory[commitKey, commit]
	parents *memory[pipelineKey, kovra.Parent]
	refs    *memory[refKey, branch]

	wait   *wait
	people *memory[[sha256.Size]byte, *wait] // the waits of those whose token was used, by its digest

	mu sync.Mutex
	me kovra.GitLabUser // zero until known
	my string           // the token that me belongs to: that of a group's new token is another user
}

// wait is how long one user's calls are held back.
type wait struct {
	mu    sync.Mutex
	until time.Time // GitLab asked us to ask nothing before
}

// New checks the options and makes a client; it calls nobody. The error is of kind
// Invalid.
func New(o Options) (*Client, error) {
	base, err := parseBase(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Token == nil || strings.TrimSpace(o.Token()) == "" {
		return nil, kovra.Errorf(kovra.Invalid, "The GitLab token is empty.")
	}
	return build(o, base, httpClient(o.HTTP, base))
}

// build makes a client of checked options over the HTTP client that [httpClient] made.
func build(o Options, base *url.URL, over *http.Client) (*Client, error) {
	c := &Client{
		base: base, http: over, token: o.Token, person: o.OAuth, log: o.Log, now: o.Now, timeout: o.Timeout, wait: &wait{},
		commits: newMemory[commitKey, commit](rememberedCommits),
		parents: newMemory[pipelineKey, kovra.Parent](rememberedParents),
		refs:    newMemory[refKey, branch](rememberedRefs),
		people:  newMemory[[sha256.Size]byte, *wait](rememberedPeople),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	var err error
	c.gl, err = libraryClient(o,
		gl.WithBaseURL(base.String()),
		gl.WithHTTPClient(c.http),
		gl.WithUserAgent("kovra"),
		gl.WithURLWarningLogger(slog.New(slog.DiscardHandler)),
		// The library would guess a limit from the first answer; GitLab's 429 is honoured instead.
		gl.WithCustomLimiter(rate.NewLimiter(rate.Inf, 0)),
		gl.WithOnlyIdempotentRetries(),
		gl.WithCustomRetryMax(readRetries),
		gl.WithCustomRetry(mayRepeat),
		gl.WithCustomBackoff(func(time.Duration, time.Duration, int, *http.Response) time.Duration { return retryWait }),
	)
	if err != nil {
		return nil, &kovra.Error{Kind: kovra.Invalid, Public: "The GitLab URL cannot be used.", Err: err}
	}
	return c, nil
}

// libraryClient makes the library's client for the kind of token.
func libraryClient(o Options, options ...gl.ClientOptionFunc) (*gl.Client, error) {
	if o.OAuth {
		return gl.NewAuthSourceClient(gl.OAuthTokenSource{TokenSource: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: o.Token()})}, options...)
	}
	return gl.NewAuthSourceClient(botToken(o.Token), options...)
}

// botToken gives the library the token as it is now.
type botToken func() string

// Init implements [gl.AuthSource].
func (botToken) Init(context.Context, *gl.Client) error { return nil }

// Header implements [gl.AuthSource].
func (t botToken) Header(context.Context) (name, value string, err error) {
	return gl.AccessTokenHeaderName, t(), nil
}

func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, kovra.Errorf(kovra.Invalid, "The GitLab URL must be like https://gitlab.com, without a user, query or fragment.")
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(apiPath, "/"))
	u.RawPath = ""
	return u, nil
}

// mayRepeat lets reads be repeated after a network error or a 5xx, and nothing
// else: not what changes something, and not what GitLab asked us to wait for.
func mayRepeat(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		failed, ok := errors.AsType[*url.Error](err)
		return ok && failed.Op == "Get", nil
	}
	again := resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusServiceUnavailable &&
		resp.StatusCode != http.StatusNotImplemented && resp.Header.Get("Retry-After") == ""
	return again && resp.Request != nil && resp.Request.Method == http.MethodGet, nil
}

// call describes a request for those who read its error.
type call struct {
	doing   string   // to …: "cancel pipeline 42"
	noun    string   // what is missing after a 404: "such a pipeline"
	once    bool     // it changes something each time it is made, so its end must be known
	secrets []string // never shown, should GitLab repeat them
}

// do makes one request within the client's deadline and judges its end.
func (c *Client) do(ctx context.Context, what call, fn func(gl.RequestOptionFunc) (*gl.Response, error)) error {
	if err := c.mayAsk(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx, way := watch(ctx)
	answer, err := fn(gl.WithContext(ctx))
	if err == nil {
		return nil
	}
	if answer == nil || answer.StatusCode < http.StatusMultipleChoices {
		return c.broken(what, err, answer != nil, way.mayHaveArrived())
	}
	var body []byte
	if refused, ok := errors.AsType[*gl.ErrorResponse](err); ok {
		body = refused.Body
	}
	return c.refused(what, answer.Response, body)
}

// mayAsk is an error of kind Unavailable while GitLab wants to be left alone.
func (c *Client) mayAsk() error {
	if wait := c.limited(); wait > 0 {
		return &kovra.Error{Kind: kovra.Unavailable, Public: "GitLab limits how often it may be asked" + forHowLong(wait) + ".", Retry: wait}
	}
	return nil
}

// limited is how long GitLab wants to be left alone. Its limits are per user, and
// all calls of a client are one user's, so one 429 holds back all of them.
func (c *Client) limited() time.Duration {
	c.wait.mu.Lock()
	defer c.wait.mu.Unlock()
	return c.wait.until.Sub(c.now())
}

func (c *Client) limit(d time.Duration) {
	c.wait.mu.Lock()
	defer c.wait.mu.Unlock()
	if until := c.now().Add(d); until.After(c.wait.until) {
		c.wait.until = until
	}
}

// fetch is do for a request that gives one thing.
func fetch[T any](ctx context.Context, c *Client, what call, fn func(gl.RequestOptionFunc) (T, *gl.Response, error)) (T, error) {
	var got T
	err := c.do(ctx, what, func(o gl.RequestOptionFunc) (*gl.Response, error) {
		v, answer, err := fn(o)
		if err == nil {
			got = v
		}
		return answer, err
	})
	return got, err
}

// collect reads a list page by page, at most so many pages. More says that there was
// a further page.
func collect[T any](ctx context.Context, c *Client, what call, most int,
	list func(page int64, o gl.RequestOptionFunc) ([]T, *gl.Response, error),
) (all []T, more bool, err error) {
	page := int64(1)
	for range most {
		next := int64(0)
		got, err := fetch(ctx, c, what, func(o gl.RequestOptionFunc) ([]T, *gl.Response, error) {
			items, answer, err := list(page, o)
			if answer != nil {
				next = answer.NextPage
			}
			return items, answer, err
		})
		if err != nil {
			return nil, false, err
		}
		all = append(all, got...)
		if next <= page {
			return all, false, nil
		}
		page = next
	}
	return all, true, nil
}

// page is the paging part of a list request.
func page(n int64) gl.ListOptions { return gl.ListOptions{Page: n, PerPage: perPage} }

// Me returns the user whose token is used; it is asked for once for each token.
func (c *Client) Me(ctx context.Context) (kovra.GitLabUser, error) {
	token := c.token()
	c.mu.Lock()
	me, my := c.me, c.my
	c.mu.Unlock()
	if me.ID != 0 && my == token {
		return me, nil
	}
	u, err := fetch(ctx, c, call{doing: "read whose token it is", noun: "such a user"},
		func(o gl.RequestOptionFunc) (*gl.User, *gl.Response, error) { return c.gl.Users.CurrentUser(o) })
	if err != nil {
		return kovra.GitLabUser{}, err
	}
	me = kovra.GitLabUser{ID: u.ID, Username: u.Username, Name: u.Name}
	c.mu.Lock()
	c.me, c.my = me, token
	c.mu.Unlock()
	return me, nil
}
