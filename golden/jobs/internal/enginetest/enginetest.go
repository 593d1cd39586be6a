// Package enginetest tells tests where the engines are that they run against.
package enginetest

import (
	"os"
	"testing"
)

// Env returns the value of the variable, which says where an engine is. Where it
// is not set the test is skipped, saying so; with ENGINES_REQUIRED=1, as in CI,
// it fails instead.
func Env(t testing.TB, variable, engine string) string {
	t.Helper()
	v := os.Getenv(variable)
	if v != "" {
		return v
	}
	if os.Getenv("ENGINES_REQUIRED") == "1" {
		t.Fatalf("%s is not set: it says where %s is, and ENGINES_REQUIRED=1 wants it", variable, engine)
	}
	t.Skipf("set %s to run this test against %s", variable, engine)
	return ""
}
