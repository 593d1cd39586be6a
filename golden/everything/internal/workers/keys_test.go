package workers_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/orders/internal/database"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workers/workerstest"
)

func TestExpiredKeysAreForgotten(t *testing.T) {
	t.Parallel()
	db := workerstest.Database(t)
	now := time.Now()
	claim := func(key string, expires time.Time) (taken bool) {
		t.Helper()
		err := database.InTx(t.Context(), db, func(tx database.Tx) error {
			first, err := workers.ClaimKey(t.Context(), tx, key, []byte("hash"), now, expires)
			taken = first != nil
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	for i := range 5 {
		if claim(fmt.Sprint("old-", i), now.Add(-time.Second)) {
			t.Errorf("key %d was taken", i)
		}
	}
	claim("young", now.Add(time.Hour))
	if claim("old-0", now.Add(-time.Second)) {
		t.Error("a key that had expired was still taken")
	}
	for _, want := range []int{2, 2, 1, 0} {
		got, err := workers.DeleteKeys(t.Context(), db, now, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%d keys deleted, want %d", got, want)
		}
	}
	if !claim("young", now.Add(time.Hour)) {
		t.Error("a key that had not expired was forgotten")
	}
}
