package app

import "net/http"

// Whatever we answer says who we are, so that somebody who looks from outside can tell us from others.
const (
	NameHeader = "X-Served-By"
	Name       = "kovra"
)

func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(NameHeader, Name)
		next.ServeHTTP(w, r)
	})
}
