package config

import (
	"net/url"
	"strings"
)

// Proxy is how the outside is reached: the values of HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in capitals or not. They
// are everybody's variables, so they are not checked.
type Proxy struct{ HTTP, HTTPS, No string }

// Login reports whether an address holds a user or a password, which must not be shown to others.
func (p Proxy) Login() bool { return hasLogin(p.HTTP) || hasLogin(p.HTTPS) }

// hasLogin looks for an @ also in what is no URL: a value without a scheme works as a proxy, too.
func hasLogin(address string) bool {
	u, err := url.Parse(address)
	return err != nil && strings.Contains(address, "@") || err == nil && (u.User != nil || strings.Contains(u.Opaque+u.Path, "@"))
}

// proxyOf reads the variables; as everywhere, one in capitals wins.
func proxyOf(environ []string) Proxy {
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if upper := strings.ToUpper(name); value != "" && (name == upper || values[upper] == "") {
			values[upper] = value
		}
	}
	return Proxy{HTTP: values["HTTP_PROXY"], HTTPS: values["HTTPS_PROXY"], No: values["NO_PROXY"]}
}
