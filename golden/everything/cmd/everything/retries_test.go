package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"example.com/orders/internal/waittest"
)

// A hookReceiver takes webhooks, and answers those to /good with 200, those to
// /bad with 503 and those to /wrong with 400.
type hookReceiver struct {
	URL string

	mu    sync.Mutex
	calls map[string]int // by path
	keys  map[string]bool
}

func startHookReceiver(t testing.TB) *hookReceiver {
	t.Helper()
	receiver := &hookReceiver{calls: make(map[string]int), keys: make(map[string]bool)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		receiver.mu.Lock()
		defer receiver.mu.Unlock()
		receiver.calls[r.URL.Path]++
		receiver.keys[r.Header.Get("Idempotency-Key")] = true
		switch r.URL.Path {
		case "/bad":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/wrong":
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	receiver.URL = server.URL
	return receiver
}

func (r *hookReceiver) called(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[path]
}

// retriesEnv makes retries quick, and lets webhooks go to the receiver.
func retriesEnv(receiver *hookReceiver) map[string]string {
	return map[string]string{
		"RETRIES_WEBHOOK_HOSTS":   strings.TrimPrefix(receiver.URL, "http://"),
		"RETRIES_BASE_DELAY":      "1ms",
		"RETRIES_MAX_DELAY":       "20ms",
		"RETRIES_HTTP_ATTEMPTS":   "1",
		"RETRIES_HTTP_BASE_DELAY": "1ms",
		"WORKERS_CONCURRENCY":     "1",
		"WORKERS_POLL_INTERVAL":   "50ms",
	}
}

// postHook has a webhook delivered, and returns the id of its job.
func postHook(t testing.TB, s *testService, url string) string {
	t.Helper()
	status, body := send(t, http.MethodPost, s.URL+"/webhooks", fmt.Sprintf(`{"url":%q,"payload":{"order":7}}`, url))
	mustEqual(t, body, status, http.StatusAccepted)
	var accepted struct{ ID string }
	if err := json.Unmarshal([]byte(body), &accepted); err != nil {
		t.Fatal(err)
	}
	return accepted.ID
}

// With one worker, and poison in front: each poisonous job uses its attempts up
// and no more, and the good ones behind are all done.
func TestPoisonDoesNotStarveOthers(t *testing.T) {
	receiver := startHookReceiver(t)
	env := retriesEnv(receiver)
	env["RETRIES_MAX_ATTEMPTS"] = "4"
	env["RETRIES_BUDGET_BURST"] = "1000"
	s := startService(t, env)
	for range 5 {
		postHook(t, s, receiver.URL+"/bad")
		postHook(t, s, receiver.URL+"/wrong")
	}
	for range 20 {
		postHook(t, s, receiver.URL+"/good")
	}
	waittest.Until(t, func() error {
		if n := receiver.called("/good"); n != 20 {
			return fmt.Errorf("%d of 20 were delivered", n)
		}
		return nil
	})
	waittest.Until(t, func() error {
		_, metrics := get(t, s.URL+"/metrics")
		for _, want := range []string{
			`retries_job_failures_total{kind="webhook",next="attempts"} 5`,
			`retries_job_failures_total{kind="webhook",next="permanent"} 5`,
			`retries_job_failures_total{kind="webhook",next="retry"} 15`,
		} {
			if err := contains(metrics, want); err != nil {
				return err
			}
		}
		return nil
	})
	mustEqual(t, "calls that failed for now", receiver.called("/bad"), 5*4)
	mustEqual(t, "calls that failed for good", receiver.called("/wrong"), 5)
	mustEqual(t, "idempotency keys", len(receiver.keys), 30)
}

// The one worker is free while poison waits, however long that is.
func TestPoisonWaitsOutsideOfTheWorker(t *testing.T) {
	receiver := startHookReceiver(t)
	env := retriesEnv(receiver)
	env["RETRIES_BASE_DELAY"], env["RETRIES_MAX_DELAY"] = "1h", "1h"
	s := startService(t, env)
	for range 3 {
		postHook(t, s, receiver.URL+"/bad")
	}
	for range 3 {
		postHook(t, s, receiver.URL+"/good")
	}
	waittest.Until(t, func() error {
		if bad, good := receiver.called("/bad"), receiver.called("/good"); bad < 3 || good != 3 {
			return fmt.Errorf("%d calls that fail, %d of 3 that don't", bad, good)
		}
		return nil
	})
}

// With the budget spent, retries are put off instead of made, and what is new is
// done as ever.
func TestBudgetHoldsRetriesBack(t *testing.T) {
	receiver := startHookReceiver(t)
	env := retriesEnv(receiver)
	env["RETRIES_BUDGET_BURST"] = "3"
	env["RETRIES_BUDGET_RATIO"] = "0.01"
	env["RETRIES_BUDGET_PER_SECOND"] = "0"
	s := startService(t, env)
	for range 10 {
		postHook(t, s, receiver.URL+"/bad")
	}
	waittest.Until(t, func() error {
		if n := receiver.called("/bad"); n < 13 {
			return fmt.Errorf("%d calls", n)
		}
		_, metrics := get(t, s.URL+"/metrics")
		return contains(metrics, `retries_job_deferrals_total{kind="webhook"} `)
	})
	postHook(t, s, receiver.URL+"/good")
	waittest.Until(t, func() error {
		if receiver.called("/good") != 1 {
			return fmt.Errorf("what is new is held back too")
		}
		return nil
	})
	mustEqual(t, "calls of 10 jobs with a budget of 3 retries", receiver.called("/bad"), 13)
}

func TestWebhookRefusals(t *testing.T) {
	receiver := startHookReceiver(t)
	s := startService(t, retriesEnv(receiver))
	for body, want := range map[string]string{
		`{"url":"http://169.254.169.254/","payload":{}}`:           "RETRIES_WEBHOOK_HOSTS",
		`{"url":"file:///etc/passwd","payload":{}}`:                "url",
		fmt.Sprintf(`{"url":%q}`, receiver.URL+"/good"):            "payload",
		fmt.Sprintf(`{"url":%q,"payload":{},"x":1}`, receiver.URL): "unknown",
		fmt.Sprintf(`{"url":%q,"payload":}`, receiver.URL+"/good"): "no JSON",
	} {
		status, answer := send(t, http.MethodPost, s.URL+"/webhooks", body)
		mustEqual(t, body+" "+answer, status, http.StatusBadRequest)
		if err := contains(answer, want); err != nil {
			t.Error(err)
		}
	}
}
