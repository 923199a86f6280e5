package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kovra.dev/chatops/storage"
)

// The measure M1 of the product.
const (
	benchConns   = 64
	benchBytes   = 14 << 10
	benchRound   = time.Second
	pacedRate    = 500
	pacedFor     = 4 * time.Second
	benchIDWidth = 12
)

// benchBody makes a pipeline event of 14 KB; at is where its id stands.
func benchBody() (body []byte, at int) {
	job := `{"id":%d,"stage":"test","name":"job %d","status":"success","created_at":"2026-01-12 15:23:28 UTC","started_at":"2026-01-12 15:24:00 UTC",` +
		`"finished_at":"2026-01-12 15:25:00 UTC","duration":60.5,"queued_duration":1.5,"failure_reason":null,"when":"on_success","manual":false,` +
		`"allow_failure":false,"user":{"id":42,"name":"Ann","username":"ann","email":"[REDACTED]"},"runner":{"id":42,"description":"shared",` +
		`"runner_type":"instance_type","active":true,"is_shared":true,"tags":["docker","gce"]},"artifacts_file":{"filename":null,"size":null},"environment":null}`
	var b strings.Builder
	b.WriteString(`{"object_kind":"pipeline","object_attributes":{"id":`)
	at = b.Len()
	b.WriteString(strings.Repeat("1", benchIDWidth))
	b.WriteString(`,"ref":"main","status":"running","created_at":"2026-01-12 15:23:28 UTC","duration":63},` +
		`"project":{"id":7,"web_url":"https://gitlab.example.com/group/web","default_branch":"main"},"builds":[`)
	for i := 0; b.Len() < benchBytes-len(job); i++ {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, job, 1000+i, i)
	}
	b.WriteString("]}")
	return []byte(b.String()), at
}

// poster posts events that differ, over kept connections.
type poster struct {
	client *http.Client
	url    string
	body   []byte
	at     int
	next   *atomic.Int64
}

func (p *poster) post(ctx context.Context, buf []byte) error {
	n := p.next.Add(1)
	copy(buf, p.body)
	copy(buf[p.at:], fmt.Sprintf("%0*d", benchIDWidth, 100_000_000_000+n))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+gitlabPath, bytes.NewReader(buf))
	if err != nil {
		return err
	}
	req.Header.Set(headerGitLabToken, testSecret)
	req.Header.Set(headerEvent, "Pipeline Hook")
	req.Header.Set(headerKey, fmt.Sprint("event-", n))
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// workers runs work on every connection and waits for all.
func (p *poster) workers(work func(conn int, buf []byte)) {
	var wg sync.WaitGroup
	for i := range benchConns {
		wg.Go(func() { work(i, make([]byte, len(p.body))) })
	}
	wg.Wait()
}

// flood posts as fast as answers come and returns how many came, and the time it took.
func (p *poster) flood(b *testing.B) (float64, time.Duration) {
	b.Helper()
	var n atomic.Int64
	start := time.Now()
	p.workers(func(_ int, buf []byte) {
		for time.Since(start) < benchRound {
			if err := p.post(b.Context(), buf); err != nil {
				b.Error(err)
				return
			}
			n.Add(1)
		}
	})
	return float64(n.Load()), time.Since(start)
}

// pace posts at a fixed rate and returns how long each answer took, counted from
// when it was due, so that a stall is not hidden by what it held up.
func (p *poster) pace(b *testing.B) []time.Duration {
	b.Helper()
	var mu sync.Mutex
	var all []time.Duration
	start := time.Now()
	p.workers(func(conn int, buf []byte) {
		for i := conn; ; i += benchConns {
			due := time.Duration(i) * time.Second / pacedRate
			if due > pacedFor {
				return
			}
			<-time.After(due - time.Since(start))
			if err := p.post(b.Context(), buf); err != nil {
				b.Error(err)
				return
			}
			took := time.Since(start) - due
			mu.Lock()
			all = append(all, took)
			mu.Unlock()
		}
	})
	return all
}

// plainHook holds what pipelineHook holds in Go's own types, which are faster to
// read and fail on the first odd field. Comparing with them too keeps the cost of
// our tolerant types from making our handler look good.
type plainHook struct {
	Attributes struct {
		ID        int64   `json:"id"`
		Ref       string  `json:"ref"`
		Status    string  `json:"status"`
		CreatedAt string  `json:"created_at"`
		Duration  float64 `json:"duration"`
	} `json:"object_attributes"`
	Project struct {
		ID            int64  `json:"id"`
		WebURL        string `json:"web_url"`
		DefaultBranch string `json:"default_branch"`
	} `json:"project"`
	Builds []struct {
		ID            int64   `json:"id"`
		Name          string  `json:"name"`
		Stage         string  `json:"stage"`
		Status        string  `json:"status"`
		When          string  `json:"when"`
		Manual        bool    `json:"manual"`
		AllowFailure  bool    `json:"allow_failure"`
		FailureReason string  `json:"failure_reason"`
		CreatedAt     string  `json:"created_at"`
		StartedAt     string  `json:"started_at"`
		FinishedAt    string  `json:"finished_at"`
		Duration      float64 `json:"duration"`
	} `json:"builds"`
}

func decodeTolerant(body []byte) bool {
	var p pipelineHook
	return tolerantly(body, &p) == nil && p.Attributes.ID > 0 && len(p.Builds) > 0
}

func decodePlain(body []byte) bool {
	var p plainHook
	return json.Unmarshal(body, &p) == nil && p.Attributes.ID > 0 && len(p.Builds) > 0
}

// storesNothing is what M1 compares with: it verifies, decodes and forgets.
func storesNothing(b *testing.B, decode func([]byte) bool) http.Handler {
	b.Helper()
	keys, err := newGitLabKeys([]string{testSecret}, nil)
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+gitlabPath, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := keys.admit(r.Header, time.Now()); !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, err := readBody(r, DefaultMaxBytes)
		if err != nil || !decode(body) {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	return mux
}

func newPoster(b *testing.B, h http.Handler) *poster {
	b.Helper()
	srv := httptest.NewServer(h)
	b.Cleanup(srv.Close)
	body, at := benchBody()
	tr := &http.Transport{MaxConnsPerHost: benchConns, MaxIdleConnsPerHost: benchConns, DisableCompression: true}
	b.Cleanup(tr.CloseIdleConnections)
	return &poster{client: &http.Client{Transport: tr}, url: srv.URL, body: body, at: at, next: new(atomic.Int64)}
}

// countStored is how many deliveries the database really holds.
func countStored(b *testing.B, db *storage.DB) int {
	b.Helper()
	var n int
	err := db.Read(b.Context(), func(tx *storage.Tx) error {
		all, err := tx.Deliveries(storage.DeliveryQuery{Limit: 1 << 30})
		n = len(all)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// contender is one of the handlers that take turns.
type contender struct {
	*poster
	posts float64
	took  time.Duration
}

func (c *contender) round(b *testing.B) {
	b.Helper()
	n, took := c.flood(b)
	c.posts, c.took = c.posts+n, c.took+took
}

func (c *contender) rate() float64 { return c.posts / c.took.Seconds() }

// BenchmarkAccept measures durable intake against handlers that store nothing:
// rounds of a second in turn, over real connections, client and server on the same
// processors, whose cost the client shares. ratio is ours by one that decodes into
// the same structs, ratio-plain by one that decodes into plain ones.
func BenchmarkAccept(b *testing.B) {
	b.Run("flood", func(b *testing.B) {
		db := openDB(b)
		ours := contender{poster: newPoster(b, newHandler(b, Options{DB: db, Now: time.Now}))}
		same := contender{poster: newPoster(b, storesNothing(b, decodeTolerant))}
		plain := contender{poster: newPoster(b, storesNothing(b, decodePlain))}
		for b.Loop() {
			ours.round(b)
			same.round(b)
			plain.round(b)
		}
		if n := countStored(b, db); n != int(ours.posts) {
			b.Fatalf("%d deliveries were answered, %d are stored", int(ours.posts), n)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(ours.rate(), "req/s")
		b.ReportMetric(same.rate(), "same-req/s")
		b.ReportMetric(plain.rate(), "plain-req/s")
		b.ReportMetric(float64(db.Commits())/ours.took.Seconds(), "commits/s")
		b.ReportMetric(ours.rate()/same.rate(), "ratio")
		b.ReportMetric(ours.rate()/plain.rate(), "ratio-plain")
	})
	b.Run("paced", func(b *testing.B) {
		ours := newPoster(b, newHandler(b, Options{DB: openDB(b), Now: time.Now}))
		plain := newPoster(b, storesNothing(b, decodePlain))
		var all, control []time.Duration
		for b.Loop() {
			all = append(all, ours.pace(b)...)
			control = append(control, plain.pace(b)...)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(percentile(all, 50), "p50-ms")
		b.ReportMetric(percentile(all, 99), "p99-ms")
		b.ReportMetric(percentile(control, 99), "plain-p99-ms") // what the machine itself adds
	})
}

// percentile returns the p-th percentile in milliseconds.
func percentile(all []time.Duration, p int) float64 {
	slices.Sort(all)
	return float64(all[(len(all)-1)*p/100].Microseconds()) / 1000
}
