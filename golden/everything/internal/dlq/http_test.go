package dlq

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	t.Parallel()
	config := defaults(t)
	config.PageSize, config.RequeueBurst, config.RequeueRate = 2, 2, 0.001
	s := openShop(t, config)
	id := letterID("jobs", s.dead(t, order{"bomb"}))
	gone := letterID("jobs", s.dead(t, order{"tea"}))
	mux := http.NewServeMux()
	s.queue.Mount(mux)
	server := httptest.NewServer(mux)
	defer server.Close()

	call := func(method, path, body string, header http.Header) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			req.Header[k] = v
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }() // is read to its end
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: no Retry-After", method, path)
		}
		return resp.StatusCode, string(answer)
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/dlq", "", 200, id},
		{"GET", "/dlq?kind=order&source=jobs&limit=1", "", 200, `"next"`},
		{"GET", "/dlq?kind=nothing", "", 200, `{"letters":[]}`},
		{"GET", "/dlq?limit=3", "", 400, "from 1 to 2"},
		{"GET", "/dlq?limit=x", "", 400, "limit"},
		{"GET", "/dlq?source=x", "", 400, "jobs"},
		{"GET", "/dlq?cursor=x", "", 400, "cursor"},
		{"GET", "/dlq/" + id, "", 200, `"stack"`},
		{"GET", "/dlq/jobs-4711", "", 404, "no such"},
		{"GET", "/dlq/jobs-01", "", 404, "no such"},
		{"GET", "/dlq/jobs", "", 404, "no such"},
		{"GET", "/dlq/x-1", "", 404, "no such"},
		{"DELETE", "/dlq/" + gone, "", 204, ""},
		{"DELETE", "/dlq/" + gone, "", 404, "no such"},
		{"POST", "/dlq/" + gone + "/requeue", "", 404, "no such"},
		{"POST", "/dlq/" + gone + "/requeue", "", 404, "no such"},
		{"POST", "/dlq/" + gone + "/requeue", "", 404, "no such"},
		{"POST", "/dlq/requeue", `{"kind":"\u0000"}`, 400, "kind: "},
		{"GET", "/dlq?kind=%ff", "", 400, "UTF-8"},
		{"GET", "/dlq?kind=%00", "", 400, "zero byte"},
		{"POST", "/dlq/requeue", `{"limit":0}`, 400, "limit"},
		{"POST", "/dlq/requeue", `{"source":"x"}`, 400, "jobs"},
		{"POST", "/dlq/requeue", ``, 400, "empty"},
		{"POST", "/dlq/requeue", `{"kind":"nothing"}`, 200, `{"requeued":0,"more":false}`},
	} {
		status, answer := call(tt.method, tt.path, tt.body, nil)
		if status != tt.status || !strings.Contains(answer, tt.answer) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", tt.method, tt.path, tt.body, status, answer, tt.status, tt.answer)
		}
	}

	// Stacks and payloads are on the inspecting route alone.
	_, list := call("GET", "/dlq", "", nil)
	for _, part := range []string{"stack", "payload", "failures", ".go:"} {
		if strings.Contains(list, part) {
			t.Errorf("the list tells %q: %s", part, list)
		}
	}

	// An operator's browser is not made to act by another site.
	elsewhere := http.Header{"Sec-Fetch-Site": {"cross-site"}}
	for _, path := range []string{"/dlq/" + id + "/requeue", "/dlq/requeue"} {
		if status, answer := call("POST", path, "{}", elsewhere); status != http.StatusForbidden {
			t.Errorf("POST %s from another site: %d %s", path, status, answer)
		}
	}
	if status, answer := call("DELETE", "/dlq/"+id, "", elsewhere); status != http.StatusForbidden {
		t.Errorf("DELETE from another site: %d %s", status, answer)
	}

	s.known.Store("bomb", true)
	status, answer := call("POST", "/dlq/"+id+"/requeue", "", nil)
	var accepted struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &accepted); err != nil || status != http.StatusAccepted || accepted.ID != id {
		t.Errorf("requeue: %d %s, %v", status, answer, err)
	}
	for range 3 { // what comes to nothing is not counted: the burst is 2
		if status, answer := call("POST", "/dlq/"+id+"/requeue", "", nil); status != http.StatusConflict {
			t.Errorf("requeue again: %d %s", status, answer)
		}
	}
}
