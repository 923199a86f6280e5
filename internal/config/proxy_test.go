package config

import "testing"

func TestProxy(t *testing.T) {
	for _, tt := range []struct {
		environ []string
		want    Proxy
		login   bool
	}{
		{nil, Proxy{}, false},
		{[]string{"HTTPS_PROXY=http://proxy:3128", "NO_PROXY=.example.com"}, Proxy{HTTPS: "http://proxy:3128", No: ".example.com"}, false},
		{[]string{"https_proxy=http://small:1", "http_proxy=http://small:2"}, Proxy{HTTPS: "http://small:1", HTTP: "http://small:2"}, false},
		{[]string{"https_proxy=http://small:1", "HTTPS_PROXY=http://large:1"}, Proxy{HTTPS: "http://large:1"}, false},
		{[]string{"HTTPS_PROXY=http://large:1", "https_proxy=http://small:1"}, Proxy{HTTPS: "http://large:1"}, false},
		{[]string{"HTTPS_PROXY=", "https_proxy=http://small:1"}, Proxy{HTTPS: "http://small:1"}, false},
		{[]string{"HTTPS_PROXY=http://joe:hunter2@proxy:3128"}, Proxy{HTTPS: "http://joe:hunter2@proxy:3128"}, true},
		{[]string{"HTTP_PROXY=joe:hunter2@proxy:3128"}, Proxy{HTTP: "joe:hunter2@proxy:3128"}, true},
	} {
		if got := proxyOf(tt.environ); got != tt.want || got.Login() != tt.login {
			t.Errorf("%q: %+v, login %v; want %+v, %v", tt.environ, got, got.Login(), tt.want, tt.login)
		}
	}
}
