package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// A caller waits for a job, instead of asking again and again.
func TestPollingJobstatusWaitsForAJob(t *testing.T) {
	s := startService(t, map[string]string{"POLLING_CHECK_INTERVAL": "20ms"})
	accept := func(in time.Duration) (url string) {
		return s.URL + workersMustAccept(t, s.URL, fmt.Sprintf(`{"kind":"report","run_at":%q}`, time.Now().Add(in).Format(time.RFC3339Nano)))
	}
	later := accept(time.Hour)
	resp, _ := pollingAsk(t, later, pollingTag(t, later))
	mustEqual(t, "with the tag", resp.StatusCode, http.StatusNotModified)
	mustEqual(t, "its Cache-Control", resp.Header.Get("Cache-Control"), "no-store")

	url := accept(time.Second)
	tag := `"none"`
	var job struct{ State string }
	waits := 0
	// A version is read before the status, which may have ended by then: who is told
	// when to ask again does.
	for again := "1"; job.State != "succeeded" || again != ""; waits++ {
		resp, body := pollingAsk(t, url+"?wait=30s", tag)
		again = resp.Header.Get("Retry-After")
		mustEqual(t, body, resp.StatusCode, http.StatusOK)
		if next := resp.Header.Get("ETag"); next == tag {
			t.Fatalf("the same version %s again: %s", tag, body)
		}
		tag = resp.Header.Get("ETag")
		if err := json.Unmarshal([]byte(body), &job); err != nil {
			t.Fatal(err)
		}
	}
	if waits > 10 {
		t.Errorf("%d answers until the job had ended", waits)
	}
	// It will not change any more: there is nothing to wait for, nor to ask again.
	begin := time.Now()
	resp, _ = pollingAsk(t, url+"?wait=30s", tag)
	mustEqual(t, "when it has ended", resp.StatusCode, http.StatusNotModified)
	mustEqual(t, "when to ask again", resp.Header.Get("Retry-After"), "")
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// When the service stops, who waits for a job is answered.
func TestPollingJobstatusStops(t *testing.T) {
	s := startService(t, nil)
	url := s.URL + workersMustAccept(t, s.URL, fmt.Sprintf(`{"kind":"report","run_at":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339)))
	tag := pollingTag(t, url)
	answers := make(chan *http.Response, 1)
	go func() {
		resp, _ := pollingAsk(t, url+"?wait=30s", tag)
		answers <- resp
	}()
	pollingAwait(t, s.URL, "polling_waiters", 1)
	status, body := get(t, s.URL+"/jobs/4711?wait=30s")
	mustEqual(t, body, status, http.StatusNotFound)
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	resp := <-answers
	mustEqual(t, "when the service stops", resp.StatusCode, http.StatusNotModified)
}

func TestPollingJobstatusContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"POLLING_CHECK_INTERVAL": "0s"}, "POLLING_CHECK_INTERVAL=0s: must be more than 0")
	refuseTogether(t, map[string]string{"POLLING_CHECK_INTERVAL": "1ms"}, "")
}
