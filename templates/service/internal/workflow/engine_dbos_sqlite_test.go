//go:build !temporal && !stepfunctions && !postgres

package workflow

import (
	"path/filepath"
	"testing"
)

func dbosTestConfig(t testing.TB, tries int) EngineConfig {
	t.Helper()
	return EngineConfig{Path: filepath.Join(t.TempDir(), "workflow.db"), Attempts: Attempts{Step: tries, Undo: tries}}
}
