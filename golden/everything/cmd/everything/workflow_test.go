package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func workflowOrder(id string) string {
	return fmt.Sprintf(`{"order_id": %q, "sku": "chair", "quantity": 1, "cents": 4900, "country": "DE"}`, id)
}

func TestWorkflowBadInput(t *testing.T) {
	s := startService(t, nil)
	for _, tt := range []struct {
		method, path, body string
		status             int
		detail             string
	}{
		{"POST", "/fulfilments", "", 400, "The body is empty"},
		{"POST", "/fulfilments", `{"order": 1}`, 400, `The field "order" is unknown`},
		{"POST", "/fulfilments", `{"quantity": "one"}`, 400, "quantity: a JSON string can't stand here."},
		{"POST", "/fulfilments", `{}`, 422, "order_id: must be 1 to 64"},
		{"POST", "/fulfilments", workflowOrder("a/b"), 422, "order_id: must be 1 to 64"},
		{"POST", "/fulfilments", strings.Replace(workflowOrder("a"), "4900", "-1", 1), 422, "cents: must be from 1"},
		{"POST", "/fulfilments", strings.Replace(workflowOrder("a"), "DE", "de", 1), 422, "country: must be two letters"},
		{"GET", "/fulfilments/nothing", "", 404, "There is no such order."},
		{"POST", "/fulfilments/nothing/cancel", "", 404, "There is no such order."},
	} {
		status, answer := send(t, tt.method, s.URL+tt.path, tt.body)
		var p struct{ Detail string }
		if err := json.Unmarshal([]byte(answer), &p); err != nil {
			t.Errorf("%s: %v", answer, err)
		}
		if status != tt.status || !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%s %s %s\n got %d %s\nwant %d %s", tt.method, tt.path, tt.body, status, p.Detail, tt.status, tt.detail)
		}
	}
}

func TestWorkflowBadConfigurationNamesTheVariable(t *testing.T) {
	for _, variable := range append(workflowBadSettings,
		"WORKFLOW_CANCEL_WINDOW=0s", "WORKFLOW_CANCEL_WINDOW=1500ms", "WORKFLOW_STEP_TIMEOUT=-1s", "WORKFLOW_STEP_TIMEOUT=1m", "WORKFLOW_ENGINE_TIMEOUT=soon") {
		env := defaultEnv(t)
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
		err := run(t.Context(), func(key string) string { return env[key] }, t.Output(), t.Output())
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want the variable named", variable, err)
		}
	}
}
