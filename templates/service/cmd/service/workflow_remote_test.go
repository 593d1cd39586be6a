//go:build temporal || stepfunctions

package main

import (
	"net/http"
	"strings"
	"testing"
)

// The engine does not answer: the service comes up, says so, takes no order that
// it could not carry out, and stops when it is told.
func TestWorkflowEngineIsDead(t *testing.T) {
	env := map[string]string{"WORKFLOW_ENGINE_TIMEOUT": "500ms"}
	for name, value := range workflowDeadEngine {
		env[name] = value
	}
	s := startService(t, env)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/fulfilments", strings.NewReader(workflowOrder("dead")))
	if err != nil {
		t.Fatal(err)
	}
	resp, body := do(t, req)
	mustEqual(t, body, resp.StatusCode, http.StatusServiceUnavailable)
	mustEqual(t, "Retry-After", resp.Header.Get("Retry-After"), "5")
	status, body := get(t, s.URL+"/fulfilments/dead")
	mustEqual(t, body, status, http.StatusNotFound)
	status, body = get(t, s.URL+"/readyz")
	mustEqual(t, body, status, http.StatusServiceUnavailable)
	if err := contains(body, "workflow"); err != nil {
		t.Error(err)
	}
	_, metrics := get(t, s.URL+"/metrics")
	if err := contains(metrics, `workflow_started_total{result="refused"} 1`); err != nil {
		t.Error("no refusal is counted")
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}
