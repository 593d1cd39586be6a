package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
)

// lockFile opens the file that stands for a directory where the directory can't
// be locked itself. It is in the user's own cache, so no one else can put
// another file in its place.
func lockFile(dir string) (*os.File, error) {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	cache = filepath.Join(cache, "scaffold", "locks")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(cache)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	sum := sha256.Sum256([]byte(dir))
	return root.OpenFile(hex.EncodeToString(sum[:16]), os.O_RDWR|os.O_CREATE, 0o600)
}
