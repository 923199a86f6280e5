package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer is how much of an answer is read.
const maxAnswer = 4 << 20

// client goes the ways that the server goes: through the proxies of the environment, and trusting the same authorities.
// It follows no redirect: they are a finding, and tokens must not go along.
func client(pool *x509.CertPool) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // net/http says so
	if pool != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	tls    *tls.ConnectionState
}

// question is one request.
type question struct {
	method, url string
	header      http.Header
	form        url.Values // of a POST
}

// ask sends one request and reads the answer. The error holds no address: one may carry a secret.
func (l *look) ask(ctx context.Context, q question) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if q.form != nil {
		body = strings.NewReader(q.form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, q.method, q.url, body)
	if err != nil {
		return nil, errors.New("the address cannot be used")
	}
	if q.header != nil {
		r.Header = q.header
	}
	if q.form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("User-Agent", "kovra-check")
	res, err := l.http.Do(r)
	if err != nil {
		return nil, bare(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, bare(err)
	}
	return &answer{status: res.StatusCode, header: res.Header, body: text, tls: res.TLS}, nil
}

// get asks for a page.
func (l *look) get(ctx context.Context, address string, header http.Header) (*answer, error) {
	return l.ask(ctx, question{method: http.MethodGet, url: address, header: header})
}

// decode reads a JSON answer; false: it is none.
func (a *answer) decode(into any) bool { return json.Unmarshal(a.body, into) == nil }

// redirect is where the answer sends us; "": nowhere.
func (a *answer) redirect() string {
	if a.status < http.StatusMultipleChoices || a.status >= http.StatusBadRequest {
		return ""
	}
	return a.header.Get("Location")
}

// said is the status of an answer as people read it.
func (a *answer) said() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
}

// skew is how far the clock of whoever answered is from ours; 0 where it does not say.
func (l *look) skew(a *answer) time.Duration {
	at, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return 0
	}
	return at.Sub(l.o.Now()).Abs()
}

// bare takes the address off an error of net/http.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// untrusted says whether a connection failed for its certificate, and which way.
func untrusted(err error) (string, bool) {
	if e, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		_ = e
		return "it is signed by an authority that is not known here", true
	}
	if e, is := errors.AsType[x509.HostnameError](err); is {
		return "it is not for the name " + e.Host, true
	}
	if e, is := errors.AsType[x509.CertificateInvalidError](err); is {
		if e.Reason == x509.Expired {
			return "it has expired, or is not valid yet", true
		}
		return "it is not valid", true
	}
	if e, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return bare(e.Err).Error(), true
	}
	return "", false
}

// why says in a few words why there was no answer.
func why(err error) string {
	if e, is := errors.AsType[*net.DNSError](err); is {
		return "the name " + e.Name + " cannot be resolved"
	}
	if how, is := untrusted(err); is {
		return "its certificate is not trusted: " + how
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "the check was ended"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "it speaks plain HTTP where HTTPS is expected"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed without an answer"
	}
	if op, is := errors.AsType[*net.OpError](err); is {
		return strings.TrimPrefix(op.Err.Error(), "connect: ")
	}
	return err.Error()
}
