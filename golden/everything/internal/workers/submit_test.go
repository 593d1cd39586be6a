package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"example.com/orders/internal/database"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/workerstest"
)

// A noteRequest asks for a note.
type noteRequest struct {
	Text  string   `json:"text"`
	Lines []string `json:"lines"`
}

func (noteRequest) Validate() error { return nil }

// openDesk starts a pool whose notes wait until the test ends, and returns what
// posts a job to it.
func openDesk(t *testing.T, config workers.Config) (*workers.Pool, func(key, body string) *httptest.ResponseRecorder) {
	t.Helper()
	p := workerstest.New(t, workerstest.Database(t), config)
	workers.Add(p, river.WorkFunc(func(ctx context.Context, _ *river.Job[noteArgs]) error {
		<-ctx.Done()
		return ctx.Err()
	}))
	workers.Accept(p, "note", func(_ context.Context, _ database.Tx, r noteRequest) (river.JobArgs, error) {
		switch r.Text {
		case "bug":
			return nil, errors.New("a bug")
		case "late":
			return nil, fmt.Errorf("insert: %w", context.DeadlineExceeded)
		}
		return noteArgs{Text: r.Text}, nil
	})
	workerstest.Start(t, p)
	return p, func(key, body string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/jobs", strings.NewReader(body))
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		w := httptest.NewRecorder()
		httpapi.Handler(p.Submit).ServeHTTP(w, r)
		return w
	}
}

func TestSubmitTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	config := workerstest.Config()
	config.DrainTimeout = time.Millisecond
	_, post := openDesk(t, config)
	for _, tt := range []struct {
		body   string
		status int
		detail string
	}{
		{`{"kind":"note","run_at":"9999-12-31T23:59:59-12:00"}`, 422, "run_at: "}, // in UTC the year 10000
		{`{"kind":"note","run_at":"0000-01-01T00:00:00Z"}`, 422, "run_at: "},
		{`{"kind":"note","run_at":"1969-12-31T23:59:59Z"}`, 422, "run_at: "},
		{`{"kind":"note","run_at":"` + time.Now().Add(config.MaxDelay+time.Hour).Format(time.RFC3339) + `"}`, 422, "run_at: "},
		{`{"kind":"note","run_at":"` + time.Now().Add(config.MaxDelay-time.Hour).Format(time.RFC3339) + `"}`, 202, ""},
		{`{"kind":"note","run_at":"x"}`, 400, "run_at: must be an RFC 3339 time"},
		{`{"kind":"note","run_at":"2030-01-31"}`, 400, "run_at: must be an RFC 3339 time"},
		{`{"kind":"note","run_at":5}`, 400, "run_at: must be an RFC 3339 time"},
		{`{"kind":"note","run_at":null}`, 202, ""},
		{`{"kind":"note","args":[1]}`, 422, "args: a JSON array can't stand here."},
		{`{"kind":"note","args":{"text":1}}`, 422, "args.text: a JSON number can't stand here."},
		{`{"kind":"note","args":{"colour":1}}`, 422, `args: unknown field \"colour\"`},
		{`{"kind":"note","args":{"lines":["a","\u0000"]}}`, 422, "zero byte"},
		{`{"kind":"note","args":{"lines":["a","\\u0000"]}}`, 202, ""}, // six characters
		// What can't be mended by another try is not told to be.
		{`{"kind":"note","args":{"text":"bug"}}`, 500, "Internal Server Error"},
		{`{"kind":"note","args":{"text":"late"}}`, 503, "try again later"},
	} {
		w := post("", tt.body)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.detail) || strings.Contains(w.Body.String(), "noteRequest") {
			t.Errorf("%s: %d %s, want %d with %q", tt.body, w.Code, w.Body, tt.status, tt.detail)
		}
		if retry := w.Header().Get("Retry-After"); (retry != "") != (tt.status == http.StatusServiceUnavailable) {
			t.Errorf("%s: %d with Retry-After %q", tt.body, w.Code, retry)
		}
	}
}

// A time that has passed neither lets a job overtake others nor counts as time
// that it has waited.
func TestRunAtInThePastIsNow(t *testing.T) {
	t.Parallel()
	config := workerstest.Config()
	config.DrainTimeout = time.Millisecond
	p, post := openDesk(t, config)
	before := time.Now().Add(-time.Second) // clocks may differ
	w := post("", `{"kind":"note","run_at":"2001-01-01T00:00:00Z"}`)
	var accepted struct {
		ID int64 `json:",string"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &accepted); err != nil || w.Code != http.StatusAccepted {
		t.Fatal(w.Code, w.Body, err)
	}
	job, err := p.Client().JobGet(t.Context(), accepted.ID)
	if err != nil {
		t.Fatal(err)
	}
	if job.ScheduledAt.Before(before) {
		t.Errorf("it is due since %s", job.ScheduledAt)
	}
}

// A request that was accepted is answered as it was, also when the queue is full.
func TestReplayWhenFull(t *testing.T) {
	t.Parallel()
	config := workerstest.Config()
	config.Concurrency, config.MaxDepth, config.DrainTimeout = 1, 1, time.Millisecond
	p, post := openDesk(t, config)
	first := post("first", `{"kind":"note"}`)
	if first.Code != http.StatusAccepted {
		t.Fatal(first.Code, first.Body)
	}
	for range 2 { // one runs, and two wait
		if _, err := p.Enqueue(t.Context(), noteArgs{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	again := post("first", `{"kind":"note"}`)
	if again.Code != http.StatusAccepted || again.Header().Get("Location") != first.Header().Get("Location") || again.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("replay: %d %s at %s, want %s", again.Code, again.Body, again.Header().Get("Location"), first.Header().Get("Location"))
	}
	for _, key := range []string{"", "second", "second"} { // refused, it leaves its key free
		if w := post(key, `{"kind":"note"}`); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("another with the key %q: %d %s", key, w.Code, w.Body)
		}
	}
}

// Jobs for later fill the queue, too: they will all be due.
func TestJobsForLaterFillTheQueue(t *testing.T) {
	t.Parallel()
	config := workerstest.Config()
	config.MaxDepth = 2
	_, post := openDesk(t, config)
	later := fmt.Sprintf(`{"kind":"note","run_at":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339))
	for i, want := range []int{http.StatusAccepted, http.StatusAccepted, http.StatusServiceUnavailable} {
		if w := post("", later); w.Code != want {
			t.Errorf("job %d: %d %s, want %d", i+1, w.Code, w.Body, want)
		}
	}
}

func TestSubmitTakesOneIdempotencyKey(t *testing.T) {
	t.Parallel()
	config := workerstest.Config()
	config.DrainTimeout = time.Millisecond
	p, _ := openDesk(t, config)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/jobs", strings.NewReader(`{"kind":"note"}`))
	r.Header.Add("Idempotency-Key", "a")
	r.Header.Add("Idempotency-Key", "b")
	w := httptest.NewRecorder()
	httpapi.Handler(p.Submit).ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "more than one Idempotency-Key") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
