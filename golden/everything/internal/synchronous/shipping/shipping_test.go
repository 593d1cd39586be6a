package shipping_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"example.com/orders/internal/database"
	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/synchronous"
	"example.com/orders/internal/synchronous/shipping"
	"example.com/orders/internal/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFind(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	for name, tt := range map[string]struct {
		zone  string
		grams int64
		want  shipping.Quote
		err   error
	}{
		"the lightest":          {"domestic", 1, shipping.Quote{Zone: "domestic", Grams: 1, Cents: 499, Days: 2}, nil},
		"just so":               {"domestic", 2000, shipping.Quote{Zone: "domestic", Grams: 2000, Cents: 499, Days: 2}, nil},
		"a gram more":           {"domestic", 2001, shipping.Quote{Zone: "domestic", Grams: 2001, Cents: 899, Days: 2}, nil},
		"too heavy":             {"world", 2001, shipping.Quote{Zone: "world", Grams: 2001}, shipping.ErrNoRate},
		"a zone that is not":    {"moon", 1, shipping.Quote{Zone: "moon", Grams: 1}, shipping.ErrNoRate},
		"more than can be told": {"world", 1 << 62, shipping.Quote{Zone: "world", Grams: 1 << 62}, shipping.ErrNoRate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := shipping.Find(t.Context(), db, tt.zone, tt.grams)
			if !errors.Is(err, tt.err) {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A shop asks for quotes over HTTP, at a gate that has two places.
type shop struct {
	db       *database.Pool
	registry *prometheus.Registry
	url      string
}

func newShop(t *testing.T, timeout time.Duration) shop {
	t.Helper()
	s := shop{db: databasetest.Open(t), registry: prometheus.NewRegistry()}
	gate := synchronous.New(synchronous.Config{MaxConcurrent: 2, Timeout: timeout, RetryAfter: time.Second}, s.registry, noop.NewTracerProvider())
	server := httptest.NewServer(httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		var quote shipping.Quote
		err := gate.Do(r.Context(), "quote", func(ctx context.Context) (err error) {
			quote, err = shipping.Find(ctx, s.db, "europe", 5000)
			return err
		})
		if err != nil {
			return err
		}
		httpapi.WriteJSON(w, r, http.StatusOK, quote)
		return nil
	}))
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s.url = server.URL
	return s
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// ask sends the answer, when there is one.
func (s shop) ask(ctx context.Context) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		body, err := io.ReadAll(resp.Body)
		answers <- answer{resp.StatusCode, resp.Header, string(body), errors.Join(err, resp.Body.Close())}
	}()
	return answers
}

// until waits until the metric has that value.
func (s shop) until(t *testing.T, metric, value string) {
	t.Helper()
	waittest.Until(t, func() error {
		page := httptest.NewRecorder()
		promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if !strings.Contains(page.Body.String(), metric+" "+value+"\n") {
			return fmt.Errorf("no %s %s in\n%s", metric, value, page.Body)
		}
		return nil
	})
}

// While the database does not get on: as many as may wait for it, the next one is
// refused while they do, who goes away makes room, and the rest is served.
func TestADatabaseThatIsHeldUp(t *testing.T) {
	t.Parallel()
	s := newShop(t, time.Minute)
	frozen := make(chan struct{})
	thaw := make(chan struct{})
	held := make(chan error, 1)
	go func() {
		held <- database.InTx(t.Context(), s.db, func(tx database.Tx) error {
			if err := freeze(t.Context(), tx); err != nil {
				return err
			}
			close(frozen)
			<-thaw
			return nil
		})
	}()
	<-frozen
	leaving, leave := context.WithCancel(t.Context())
	defer leave()
	first, second := s.ask(leaving), s.ask(t.Context())
	s.until(t, "synchronous_in_flight", "2")

	refused := <-s.ask(t.Context()) // comes, though both still wait
	if refused.err != nil || refused.status != http.StatusServiceUnavailable || refused.header.Get("Retry-After") == "" {
		t.Errorf("over the limit: %+v; want 503 with Retry-After", refused)
	}
	s.until(t, `synchronous_work_total{result="full",work="quote"}`, "1")

	leave()
	if gone := <-first; !errors.Is(gone.err, context.Canceled) {
		t.Errorf("who left: %+v", gone)
	}
	s.until(t, `synchronous_work_total{result="canceled",work="quote"}`, "1")
	s.until(t, "synchronous_in_flight", "1")
	waiting(t, s.db, 1)

	third := s.ask(t.Context())
	s.until(t, "synchronous_in_flight", "2")
	close(thaw)
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	for _, answers := range []<-chan answer{second, third} {
		if a := <-answers; a.err != nil || a.status != http.StatusOK || !strings.Contains(a.body, `"cents":2199,"days":5`) {
			t.Errorf("%+v, want the quote", a)
		}
	}
}

// A statement that never ends is ended when the time is up, in the database too.
func TestTheTimeReachesTheDatabase(t *testing.T) {
	t.Parallel()
	db := databasetest.Open(t)
	gate := synchronous.New(synchronous.Config{MaxConcurrent: 1, Timeout: 200 * time.Millisecond, RetryAfter: time.Second},
		prometheus.NewRegistry(), noop.NewTracerProvider())
	err := gate.Do(t.Context(), "endless", func(ctx context.Context) error { return endless(ctx, db) })
	if !errors.Is(err, synchronous.ErrTimeout) {
		t.Errorf("%v, want ErrTimeout", err)
	}
	waiting(t, db, 0)
	if _, err := shipping.Find(t.Context(), db, "world", 1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
