package webhooks

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kovra.dev/chatops/storage"
)

// knocked collects what Options.Refused is told.
type knocked struct {
	mu  sync.Mutex
	all []int64
}

func (k *knocked) add(project int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, project)
}

func TestRefusedDeliveriesNameTheirProject(t *testing.T) {
	long := strings.Repeat("x", knockBytes)
	for name, c := range map[string]struct {
		body string
		want []int64
	}{
		"push":                 {`{"object_kind":"push","user_id":4,"project_id":15,"project":{"id":16}}`, []int64{15}},
		"pipeline":             {`{"object_kind":"pipeline","object_attributes":{"id":31,"variables":[{"key":"a"}]},"user":{"id":1},"project":{"id":7,"name":"x"}}`, []int64{7}},
		"cut after it":         {`{"project":{"id":7},"builds":"` + long + `"}`, []int64{7}},
		"cut before it":        {`{"builds":"` + long + `","project":{"id":7}}`, nil},
		"deeper":               {`{"commit":{"project_id":7}}`, nil},
		"none":                 {`{"object_kind":"push"}`, nil},
		"not JSON":             {`hello`, nil},
		"a list":               {`[{"project_id":7}]`, nil},
		"a word":               {`{"project_id":"seven"}`, nil},
		"a number in quotes":   {`{"project_id":"7"}`, []int64{7}},
		"a fraction":           {`{"project_id":7.5}`, nil},
		"below zero":           {`{"project_id":-7}`, nil},
		"no number at all":     {`{"project_id":null,"project":null}`, nil},
		"too large a number":   {`{"project_id":99999999999999999999}`, nil},
		"a project of a word":  {`{"project":"web"}`, nil},
		"nothing":              {"", nil},
		"as deep as it can be": {strings.Repeat(`{"a":`, 20_000), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var k knocked
			db := openDB(t)
			h := newHandler(t, Options{DB: db, Refused: k.add})
			resp := do(t, h, http.MethodPost, gitlabPath, headers(headerGitLabToken, "wrong"), c.body)
			if resp.Code != http.StatusUnauthorized || resp.Body.Len() > 0 {
				t.Errorf("answered %d %q", resp.Code, resp.Body)
			}
			if !slices.Equal(k.all, c.want) {
				t.Errorf("named %v, want %v", k.all, c.want)
			}
			var stored int
			err := db.Read(t.Context(), func(tx *storage.Tx) error {
				all, err := tx.Deliveries(storage.DeliveryQuery{Limit: 9})
				stored = len(all)
				return err
			})
			if err != nil || stored > 0 {
				t.Errorf("%d deliveries stored, %v", stored, err)
			}
		})
	}
}

// One with a signature that is wrong is read already.
func TestForgedSignatureNamesItsProject(t *testing.T) {
	var k knocked
	h := newHandler(t, Options{GitLabSigningTokens: []string{testSigning}, Refused: k.add})
	body := `{"project_id":15}`
	forged := headers()
	signGitLab(t, forged, otherSigning, testNow, body)
	if code := do(t, h, http.MethodPost, gitlabPath, forged, body).Code; code != http.StatusUnauthorized {
		t.Errorf("answered %d", code)
	}
	if !slices.Equal(k.all, []int64{15}) {
		t.Errorf("named %v", k.all)
	}
}

// Of a flood most requests are passed over, and what comes in rightly names nobody.
func TestFloodOfRefusedDeliveries(t *testing.T) {
	var k knocked
	now := testNow
	h := newHandler(t, Options{Refused: k.add, Now: func() time.Time { return now }})
	send := func(secret string, n int) {
		for i := range n {
			do(t, h, http.MethodPost, gitlabPath, headers(headerGitLabToken, secret), fmt.Sprintf(`{"project_id":%d}`, i+1))
		}
	}
	send("wrong", 500)
	if len(k.all) != knocksBurst {
		t.Errorf("%d of 500 passed on", len(k.all))
	}
	send(testSecret, 3)
	now = now.Add(time.Minute)
	send("wrong", 500)
	if len(k.all) != 2*knocksBurst {
		t.Errorf("%d passed on after a minute", len(k.all))
	}
}

// A body that never comes keeps nobody waiting for long.
func TestRefusedDeliveryWithoutItsBody(t *testing.T) {
	var k knocked
	srv := httptest.NewServer(newHandler(t, Options{Refused: k.add}))
	defer srv.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	began := time.Now()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: kovra\r\nContent-Length: 1000\r\n\r\n{\"project_id\":15}", gitlabPath)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if took := time.Since(began); resp.StatusCode != http.StatusUnauthorized || took > 5*knockTime {
		t.Errorf("answered %d after %v", resp.StatusCode, took)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(k.all, []int64{15}) {
		t.Errorf("named %v", k.all)
	}
}
