package retries

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

func TestDeliver(t *testing.T) {
	t.Parallel()
	var calls, elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"order":7}` || r.Header.Get("Idempotency-Key") != "d1" || r.Method != http.MethodPost {
			t.Errorf("got %s %q with the key %q, %v", r.Method, body, r.Header.Get("Idempotency-Key"), err)
		}
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err != nil {
			t.Error(err)
		}
		w.Header().Set("Location", other.URL)
		w.WriteHeader(status)
	}))
	defer receiver.Close()

	config := defaults(t)
	config.HTTPBaseDelay = time.Millisecond
	config.WebhookHosts = []string{strings.TrimPrefix(receiver.URL, "http://")}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	d := newRetries(t, config).Deliverer(transport)
	for _, tt := range []struct {
		url       string
		calls     int64
		fails     bool
		permanent bool
	}{
		{url: receiver.URL + "/200", calls: 1},
		{url: receiver.URL + "/503", calls: 3, fails: true},
		{url: receiver.URL + "/400", calls: 1, fails: true, permanent: true},
		{url: receiver.URL + "/410", calls: 1, fails: true, permanent: true},
		{url: receiver.URL + "/302", calls: 1, fails: true, permanent: true},
		{url: other.URL, fails: true, permanent: true},
		{url: "ftp://" + config.WebhookHosts[0], fails: true, permanent: true},
		{url: "http://user:password@" + config.WebhookHosts[0], fails: true, permanent: true},
		{url: "http://169.254.169.254/latest/meta-data", fails: true, permanent: true},
		{url: "//" + config.WebhookHosts[0], fails: true, permanent: true},
		{url: "%", fails: true, permanent: true},
	} {
		calls.Store(0)
		err := d.Work(t.Context(), &river.Job[Webhook]{
			JobRow: &rivertype.JobRow{},
			Args:   Webhook{ID: "d1", URL: tt.url, Payload: json.RawMessage(`{"order":7}`)},
		})
		if (err != nil) != tt.fails || IsPermanent(err) != tt.permanent || calls.Load() != tt.calls {
			t.Errorf("%s: %v, permanent %t, %d calls; want error %t, permanent %t, %d calls",
				tt.url, err, IsPermanent(err), calls.Load(), tt.fails, tt.permanent, tt.calls)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a host that is not configured was called")
	}
}
