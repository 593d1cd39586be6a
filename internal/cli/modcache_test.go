package cli

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What the cache says of a module is what go.sum says of it.
func TestModuleCache(t *testing.T) {
	t.Parallel()
	dir, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	cache := modCache(strings.TrimSpace(string(dir)))
	const path = "github.com/spf13/cobra"
	found := false
	for line := range strings.Lines(string(sums)) {
		fields := strings.Fields(line)
		version, isMod := strings.CutSuffix(fields[1], "/go.mod")
		if fields[0] != path || isMod {
			continue
		}
		known := cache.known(path, version)
		if known.ZipSum != fields[2] || !strings.Contains(string(sums), path+" "+version+"/go.mod "+known.ModSum+"\n") {
			t.Errorf("%s: %s and %s are not in go.sum", version, known.ZipSum, known.ModSum)
		}
		found = true
	}
	if !found {
		t.Errorf("go.sum has no %s", path)
	}
	for _, c := range []modCache{"", modCache(t.TempDir())} {
		if known := c.known(path, "v1.0.0"); known.ModSum != "" || known.Mod != nil {
			t.Errorf("%q has %+v", c, known)
		}
	}
	if known := cache.known("../x", "v1.0.0"); known.Mod != nil {
		t.Error("a path that is none was read")
	}
}
