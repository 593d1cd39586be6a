package main

import (
	"path/filepath"
	"testing"
)

func workflowTestEnv(t testing.TB) map[string]string {
	t.Helper()
	return map[string]string{"WORKFLOW_DBOS_PATH": filepath.Join(t.TempDir(), "workflow.db")}
}

var workflowBadSettings = []string{"WORKFLOW_DBOS_PATH=workflow_test.go/file", "WORKFLOW_STEP_ATTEMPTS=0", "WORKFLOW_UNDO_ATTEMPTS=-1"}
