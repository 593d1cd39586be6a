//go:build stepfunctions

package main

import (
	"testing"
	"time"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workflow"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workflow/stepfunctionstest"
)

// workflowTestEnv leads to an interpreter of the definition, in which a second
// takes a tenth.
func workflowTestEnv(t testing.TB) map[string]string {
	t.Helper()
	server := stepfunctionstest.New(t, workflow.Definition(stepfunctionstest.StateMachine), 100*time.Millisecond)
	return map[string]string{
		"WORKFLOW_STEPFUNCTIONS_STATE_MACHINE_ARN": stepfunctionstest.StateMachine,
		"WORKFLOW_STEPFUNCTIONS_ENDPOINT":          server.URL,
		"WORKFLOW_STEPFUNCTIONS_ACCESS_KEY":        "key",
		"WORKFLOW_STEPFUNCTIONS_SECRET_KEY":        "secret",
	}
}

var (
	workflowBadSettings = []string{
		"WORKFLOW_STEPFUNCTIONS_STATE_MACHINE_ARN=", "WORKFLOW_STEPFUNCTIONS_STATE_MACHINE_ARN=fulfilment",
		"WORKFLOW_STEPFUNCTIONS_ENDPOINT=nowhere", "WORKFLOW_STEPFUNCTIONS_SECRET_KEY=", "WORKFLOW_STEPFUNCTIONS_POLLERS=0",
	}
	workflowDeadEngine = map[string]string{"WORKFLOW_STEPFUNCTIONS_ENDPOINT": "http://127.0.0.1:1"}
)
