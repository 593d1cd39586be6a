package apply

import (
	"context"
	"fmt"
	"path/filepath"
)

// newName is where a root whose first missing directory is first is written
// before it is moved into place.
func newName(first string) string { return "." + first + ".scaffold-new" }

// create writes a root that does not exist, and the directories above it, beside
// its place, and moves it there by one rename. Nothing that was there is at
// stake, so it is not synced.
func create(ctx context.Context, f fsys, at place, changes []Change) error {
	var missing []string
	for _, c := range changes {
		if c.Before != nil {
			missing = append(missing, c.Path)
		}
	}
	if len(missing) > 0 {
		return &ChangedError{Paths: missing}
	}
	top := filepath.Join(at.dir, at.first())
	if there, err := exists(f, at.first()); err != nil {
		return failed(top, err)
	} else if there {
		return &ChangedError{Paths: []string{top}}
	}
	stage := newName(at.first())
	if err := f.mkdir(stage, 0o755); err != nil {
		return failed(top, err)
	}
	err := fill(ctx, f, stage, at.missing[len(at.first()):], changes)
	if err == nil {
		if err = f.move(stage, at.first()); err == nil {
			return nil
		}
		err = failed(top, err)
	}
	if rerr := f.removeAll(stage); rerr != nil {
		return fmt.Errorf("%w (and %s/%s could not be removed: %w)", err, at.dir, stage, reason(rerr))
	}
	return err
}

// fill writes the new files below stage and, in there, below.
func fill(ctx context.Context, f fsys, stage, below string, changes []Change) error {
	made := map[string]bool{stage: true}
	for _, c := range changes {
		if c.After == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		p := stage + below + "/" + c.Path
		if err := mkdirAll(f, made, parent(p)); err != nil {
			return failed(c.Path, err)
		}
		if err := f.write(p, c.After.Data, c.After.Mode(), false); err != nil {
			return failed(c.Path, err)
		}
	}
	return nil
}

// mkdirAll makes the directories of dir that made does not hold.
func mkdirAll(f fsys, made map[string]bool, dir string) error {
	if made[dir] {
		return nil
	}
	if err := mkdirAll(f, made, parent(dir)); err != nil {
		return err
	}
	made[dir] = true
	return f.mkdir(dir, 0o755)
}
