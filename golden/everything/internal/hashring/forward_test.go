package hashring

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/httpapi"
)

// Who is forwarded a request for what is not its own says so: nothing goes round.
func TestNothingIsForwardedTwice(t *testing.T) {
	nodes := startRing(t, 2, func(c *Config) { c.Wait = 100 * time.Millisecond })
	a, b := nodes[0], nodes[1]
	wrong := newView(map[string]member{b.Name(): b.view.Load().members[b.Name()]}, 0)
	for i := range 20 {
		key := "k" + strconv.Itoa(i)
		if a.view.Load().ring.Owner(PartitionOf(key)) != a.Name() {
			continue
		}
		// a thinks that it is b's, b that it is a's.
		right := a.view.Swap(wrong)
		defer a.view.Store(right)
		if _, _, err := call(http.MethodGet, a.url, key); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("%s: %v, want 503", key, err)
		}
		if testutil.ToFloat64(a.metrics.forwarded.WithLabelValues(resultNotOwner)) == 0 {
			t.Error("it was not forwarded")
		}
		for _, result := range []string{resultOK, resultNotOwner, resultUnreachable, resultError} {
			if times := testutil.ToFloat64(b.metrics.forwarded.WithLabelValues(result)); times > 0 {
				t.Errorf("it was forwarded on %v times: %s", times, result)
			}
		}
		return
	}
	t.Fatal("a owns none of 20 keys")
}

// elsewhere has the node take another member for the owner of everything, until the
// test ends. What that is asked for a key is answered by answer.
func elsewhere(t *testing.T, n *testNode, answer http.HandlerFunc) {
	t.Helper()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.hashring/") {
			w.WriteHeader(http.StatusConflict)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(other.Close)
	right := n.view.Swap(newView(map[string]member{"other": {Peer: other.Listener.Addr().String()}}, 0))
	t.Cleanup(func() { n.view.Store(right) })
}

// An owner that does not answer in time may have done it: it is not asked again.
func TestASilentOwnerIsAskedOnce(t *testing.T) {
	config := testConfig()
	config.ForwardTimeout = 200 * time.Millisecond
	n := startNode(t, config)
	var asked atomic.Int64
	elsewhere(t, n, func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // or it is not seen that the caller is gone
		<-r.Context().Done()
	})
	_, _, err := call(http.MethodPost, n.url, "k")
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "done or not") {
		t.Errorf("%v, want 503, and that it may be done", err)
	}
	if times := asked.Load(); times != 1 {
		t.Errorf("asked %d times", times)
	}
}

// A member whose lease ends while it works says that it may be done or not.
func TestWorkThatOutlastsTheLease(t *testing.T) {
	n := startRing(t, 1, patient)[0]
	tries := 0
	handler := n.Handler(func(*http.Request) (string, error) { return "k", nil }, func(http.ResponseWriter, *http.Request) error {
		tries++
		err := n.Do("k", func() error {
			n.leaseMu.Lock()
			defer n.leaseMu.Unlock()
			n.lease = time.Now().Add(-time.Second)
			return nil
		})
		if !errors.Is(err, ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		return err
	})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/k", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "done or not") || tries != 1 {
		t.Errorf("%d %s after %d tries", w.Code, w.Body, tries)
	}
}

// While a key has no owner, those who wait for it do not ask all the time: whoever
// is to have it is busy with that.
func TestWaitingRequestsAreSparing(t *testing.T) {
	var asked atomic.Int64
	config := testConfig()
	config.Wait = time.Second
	n := startNode(t, config)
	elsewhere(t, n, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set(notOwnerHeader, "1")
		w.WriteHeader(http.StatusMisdirectedRequest)
	})
	if _, _, err := call(http.MethodPost, n.url, "k"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v, want 503", err)
	}
	if times := asked.Load(); times < 2 || times > 8 {
		t.Errorf("asked %d times in a second", times)
	}
}

// Who is to have a key, and is about to, has the caller wait rather than ask again.
func TestTheNextOwnerIsWaitedFor(t *testing.T) {
	config := testConfig()
	config.Quorum = 2 // holds nothing, as it is alone
	n := startNode(t, config)
	ask := func() int {
		req, err := http.NewRequest(http.MethodPost, "http://"+n.peers.listener.Addr().String()+"/k", strings.NewReader("some words"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(tokenHeader, n.peers.token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // says nothing more
		return resp.StatusCode
	}
	begin := time.Now()
	if status := ask(); status != http.StatusMisdirectedRequest || time.Since(begin) < longestPause {
		t.Errorf("%d after %s, want 421 after %s", status, time.Since(begin), longestPause)
	}
	n.leaseMu.Lock()
	n.lease = time.Now().Add(time.Hour)
	n.leaseMu.Unlock()
	var held sync.WaitGroup
	held.Go(func() {
		n.held[PartitionOf("k")].Store(1)
		n.changed()
	})
	if status := ask(); status != http.StatusOK {
		t.Errorf("%d once it is held, want 200", status)
	}
	held.Wait()
}

// The owner is told who asked, how, and within what trace, of which each try is a
// span.
func TestWhatTheOwnerIsTold(t *testing.T) {
	told := make(chan http.Header, 1)
	owner := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header }))
	defer owner.Close()
	node := startNode(t, testConfig())
	asked := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	ctx := httpapi.WithCall(trace.ContextWithSpanContext(t.Context(), asked), &httpapi.Call{ID: "r1"})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/k", nil)
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	r.Header.Set("X-Forwarded-Proto", "https")
	if err := node.forward(httptest.NewRecorder(), r, member{Peer: "127.0.0.1:1"}); !errors.Is(err, errNotSent) {
		t.Fatal(err)
	}
	if err := node.forward(httptest.NewRecorder(), r, member{Peer: owner.Listener.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	spans := node.spans.Ended()
	if len(spans) != 2 || spans[0].Status().Description != resultUnreachable || spans[1].Status().Code != codes.Unset {
		t.Fatalf("%d spans: %v", len(spans), spans)
	}
	for _, span := range spans {
		if span.Name() != "hashring.forward" || span.SpanKind() != trace.SpanKindClient || span.Parent().SpanID() != asked.SpanID() {
			t.Errorf("the %s span %s of %s", span.SpanKind(), span.Name(), span.Parent().SpanID())
		}
	}
	header := <-told
	for name, want := range map[string]string{
		"X-Forwarded-For":   "192.0.2.7, 192.0.2.1",
		"X-Forwarded-Proto": "https",
		"X-Forwarded-Host":  "example.com",
		"X-Request-Id":      "r1",
		"Traceparent":       "00-01000000000000000000000000000000-" + spans[1].SpanContext().SpanID().String() + "-01",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAnOwnerThatIsBusyOrGone(t *testing.T) {
	if result, err := forwardResult(errors.New("reset")); result != resultError || errors.Is(err, errNotSent) {
		t.Errorf("an unknown end is tried again: %s %v", result, err)
	}
	nodes := startRing(t, 2, func(c *Config) { c.Wait = 50 * time.Millisecond })
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/k", nil)
	if err := nodes[0].forward(w, r, member{Peer: "127.0.0.1:1"}); !errors.Is(err, errNotSent) {
		t.Errorf("no connection: %v, want another try", err)
	}
}
