package check

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kovra.dev/chatops/internal/app"
)

var publicRows = []Row{
	{"public.address.unset", Wrong, "KOVRA_PUBLIC_URL is not set: no webhook is created, and links to logs lead nowhere.", "Set KOVRA_PUBLIC_URL to the address at which GitLab and browsers reach Kovra, https://kovra.example.com."},
	{"public.address.plain", Warning, "KOVRA_PUBLIC_URL is plain HTTP: secrets and links to logs go over the network in the clear.", "Put a proxy with a certificate in front, and set KOVRA_PUBLIC_URL to https://…"},
	{"public.address.private", Warning, "KOVRA_PUBLIC_URL is <host>, an address of this machine or network alone, which Slack cannot reach.", "Set it to an address that Slack can reach; or use Socket Mode: set KOVRA_SLACK_APP_TOKEN."},
	{"public.address.not_running", Warning, "Nothing answers at <url> (<reason>), and Kovra does not run here.", "Start Kovra, `kovra serve`, and check again."},
	{"public.address.unreachable", Wrong, "Kovra runs here, but cannot be reached at <url>: <reason>.", "See where the name leads and who listens: `curl -i <url>/healthz`. A proxy in front must pass everything below <url> on to KOVRA_LISTEN (<listen>)."},
	{"public.address.bad_gateway", Wrong, "A proxy answers at <url> and does not reach Kovra behind it (<said>).", "Let it pass requests on to KOVRA_LISTEN (<listen>), and see that Kovra runs."},
	{"public.address.certificate", Wrong, "The certificate of <url> is not trusted: <reason>.", "Give the proxy in front a certificate that GitLab and browsers trust; if GitLab trusts an authority of your own, name that in KOVRA_CA_FILE."},
	{"public.address.certificate_expires", Warning, "The certificate of <url> expires on <day>.", "Renew it."},
	{"public.address.redirect", Wrong, "<url> redirects to <to>. GitLab does not follow redirects of webhooks, nor does Slack.", "Set KOVRA_PUBLIC_URL to the address that it redirects to, or switch the redirect off."},
	{"public.address.prefix", Wrong, "Kovra is reached at <url>, but with the path <path> before everything, below which it serves nothing.", "Let the proxy in front take <path> off before it passes a request on."},
	{"public.address.not_kovra", Wrong, "What answers at <url> is not Kovra (<said>).", "Set KOVRA_PUBLIC_URL to Kovra's own address, or let the proxy at <url> pass /webhooks/, /slack/, /oauth/, /logs/, /viewer/ and /healthz on to KOVRA_LISTEN (<listen>)."},
}

// renewBefore is how long before its end a certificate is spoken of.
const renewBefore = 14 * 24 * time.Hour

// public asks for our own sign of life the way that GitLab comes.
func (l *look) public(ctx context.Context) []Finding {
	const id, subject = "public.address", "address"
	switch {
	case l.bad("KOVRA_PUBLIC_URL"):
		return []Finding{skip(id, subject, "KOVRA_PUBLIC_URL is missing or wrong")}
	case !l.cfg.PublicURLSet:
		return []Finding{found(id+".unset", subject)}
	}
	u, err := url.Parse(l.cfg.PublicURL)
	if err != nil {
		return []Finding{skip(id, subject, "KOVRA_PUBLIC_URL is wrong")} // unreachable: it was checked
	}
	var list []Finding
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		list = append(list, found(id+".plain", subject))
	}
	if l.cfg.SlackAppToken == "" && ownNetwork(u.Hostname()) {
		list = append(list, found(id+".private", subject, "host", u.Hostname()))
	}
	a, err := l.get(ctx, l.cfg.PublicURL+"/healthz", nil)
	if bad := l.notOurs(ctx, u, a, err); bad != nil {
		return append(list, *bad)
	}
	if a.tls != nil && len(a.tls.PeerCertificates) > 0 {
		if end := a.tls.PeerCertificates[0].NotAfter; end.Sub(l.o.Now()) < renewBefore {
			list = append(list, found(id+".certificate_expires", subject, "url", l.cfg.PublicURL, "day", end.Format(time.DateOnly)))
		}
	}
	if len(list) == 0 {
		return []Finding{fine(id, subject, l.cfg.PublicURL+" leads to Kovra")}
	}
	return list
}

// notOurs tells why what answered, if anything did, is not Kovra as it should be reached; nil: it is.
func (l *look) notOurs(ctx context.Context, u *url.URL, a *answer, err error) *Finding {
	args := []string{"url", l.cfg.PublicURL, "listen", cmp.Or(l.cfg.Listen, "KOVRA_LISTEN"), "path", u.Path}
	bad := func(kind string, more ...string) *Finding {
		f := found("public.address."+kind, "address", append(args, more...)...)
		return &f
	}
	if err != nil {
		if how, is := untrusted(err); is {
			return bad("certificate", "reason", how)
		}
		if !l.runsHere(ctx) {
			return bad("not_running", "reason", why(err))
		}
		return bad("unreachable", "reason", why(err))
	}
	switch ours := isOurs(a); {
	case ours && a.status == http.StatusOK:
		return nil
	case ours && u.Path != "":
		return bad("prefix")
	case a.redirect() != "":
		return bad("redirect", "to", a.redirect())
	case a.status >= http.StatusBadGateway && a.status <= http.StatusGatewayTimeout && !l.runsHere(ctx):
		return bad("not_running", "reason", "a proxy answers "+a.said())
	case a.status >= http.StatusBadGateway && a.status <= http.StatusGatewayTimeout:
		return bad("bad_gateway", "said", a.said())
	}
	return bad("not_kovra", "said", a.said())
}

func isOurs(a *answer) bool { return a.header.Get(app.NameHeader) == app.Name }

// runsHere reports whether a server of ours listens where this configuration says.
func (l *look) runsHere(ctx context.Context) bool {
	host, port, err := net.SplitHostPort(l.cfg.Listen)
	if err != nil || port == "0" {
		return false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	a, err := l.get(ctx, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	return err == nil && isOurs(a)
}

// loopback says whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// ownNetwork says whether a host is surely nothing that the Internet can reach.
func ownNetwork(host string) bool {
	ip := net.ParseIP(host)
	return loopback(host) || ip != nil && (ip.IsPrivate() || ip.IsLinkLocalUnicast())
}

// hostPort is what of an address openssl wants to know.
func hostPort(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	port := u.Port()
	if port == "" {
		port = strconv.Itoa(map[string]int{"http": 80}[u.Scheme])
	}
	if port == "0" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
