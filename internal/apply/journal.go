package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/seed-d146d9dc/scaffold/internal/tree"
)

const journalVersion = 1

// A journal is what a change is about to do, so that it can be undone. What was
// there before is in the stage, under the entry's number.
type journal struct {
	Version int         `json:"version"`
	Command string      `json:"command,omitempty"` // to be taken back under this name, if there is one
	Changes []entry     `json:"changes"`
	Made    []string    `json:"made"`   // directories that will be made, parents first
	Pruned  []directory `json:"pruned"` // directories that may go, parents first
}

// An entry is one file's hash before and after, "" where there is none.
type entry struct {
	Path   string `json:"path"`
	Before string `json:"before"`
	After  string `json:"after"`
}

type directory struct {
	Path string      `json:"path"`
	Perm fs.FileMode `json:"perm"`
}

// write makes the journal appear in the stage, whole and durable. Its sync comes
// after all others, so that what it speaks of is durable too.
func (j *journal) write(f fsys) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	draft := journalFile + ".draft"
	if err := f.write(draft, append(text, '\n'), 0o644, false); err != nil {
		return failed(journalFile, err)
	}
	if err := f.sync(draft); err != nil {
		return failed(journalFile, err)
	}
	if err := f.rename(draft, journalFile); err != nil {
		return failed(journalFile, err)
	}
	if err := f.flush([]string{ownDir, stageDir}); err != nil {
		return failed(journalFile, err)
	}
	return nil
}

// readJournal reads the journal in dir. It returns nil if there is none. A
// journal can be hostile: a repository may bring one.
func readJournal(f fsys, dir string) (*journal, error) {
	name := dir + "/" + journalName
	info, err := f.lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	const tooLarge = 64 << 20
	var j journal
	if err == nil && (!info.Mode().IsRegular() || info.Size() > tooLarge) {
		err = errors.New("is no journal")
	}
	if err == nil {
		var text []byte
		if text, err = f.readFile(name); err == nil {
			err = json.Unmarshal(text, &j)
		}
	}
	for _, e := range j.Changes {
		if err == nil && (!isHash(e.Before) || !isHash(e.After)) {
			err = errors.New("holds no hash for " + e.Path)
		}
	}
	if err == nil && j.Version != journalVersion {
		err = fmt.Errorf("was written by another version of scaffold (format %d); run the same one again", j.Version)
	}
	for _, p := range j.paths() {
		if err == nil {
			err = tree.CheckPath(p)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; the change that it tells of can't be undone by itself: compare the files with git, then delete %s", name, reason(err), dir)
	}
	return &j, nil
}

func isHash(s string) bool {
	_, err := hex.DecodeString(s)
	return s == "" || err == nil && len(s) == 2*sha256.Size
}

func (j *journal) paths() []string {
	paths := slices.Clone(j.Made)
	for _, e := range j.Changes {
		paths = append(paths, e.Path)
	}
	for _, d := range j.Pruned {
		paths = append(paths, d.Path)
	}
	return paths
}
