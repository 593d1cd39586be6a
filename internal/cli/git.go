package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// initGit makes dir a git repository, unless it is in one. That it can't is
// said, and no failure: the service is there.
func (a *app) initGit(ctx context.Context, dir string) {
	abs, err := filepath.Abs(dir)
	if err != nil || inGit(abs) {
		return
	}
	cmd := exec.CommandContext(ctx, "git", "init", "--quiet")
	cmd.Dir = abs
	// A hook of git that runs scaffold has told where its own repository is.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_DIR=") && !strings.HasPrefix(v, "GIT_WORK_TREE=") && !strings.HasPrefix(v, "GIT_INDEX_FILE=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		a.notef("git is not installed, so %s is no repository yet: run `git init` in it later", dir)
	case err != nil:
		why, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if why == "" {
			why = err.Error()
		}
		a.notef("%s is no git repository yet (%s): run `git init` in it", dir, why)
	}
}

// inGit reports whether dir is in a work tree of git.
func inGit(dir string) bool {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return true
		}
		if filepath.Dir(dir) == dir {
			return false
		}
		dir = filepath.Dir(dir)
	}
}
