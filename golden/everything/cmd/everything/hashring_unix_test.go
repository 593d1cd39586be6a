//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"syscall"
	"testing"

	"example.com/orders/internal/waittest"
)

// A process that was frozen while others took its documents over wakes up with old
// ones in memory, with more edits than there are now. It answers with none of them:
// its lease is over by its own clock, and what others have begun since is newer.
func TestHashringFrozen(t *testing.T) {
	env := hashringEnv(t)
	members := []*serviceProcess{startProcess(t, hashringFirst(env)), startProcess(t, env), startProcess(t, env)}
	for _, m := range members {
		hashringMembers(t, m.URL, 3)
	}
	const ids = 30
	for i := range ids {
		for range 5 {
			hashringEdit(t, members[0].URL, "doc"+strconv.Itoa(i))
		}
	}
	frozen := members[2]
	if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, m := range members[:2] {
		hashringMembers(t, m.URL, 2)
	}
	var taken []string
	for i := range ids {
		id := "doc" + strconv.Itoa(i)
		if edits, _ := hashringEdit(t, members[0].URL, id); edits > 1 {
			mustEqual(t, "edits of a document that was elsewhere", edits, 6)
			continue
		}
		taken = append(taken, id)
		hashringEdit(t, members[1].URL, id)
	}
	if len(taken) == 0 {
		t.Fatal("the frozen process had none of the documents")
	}
	if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	right := func(id string) error { // or unknown for now
		status, body := get(t, frozen.URL+"/documents/"+id)
		var answer documentAnswer
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if status == http.StatusServiceUnavailable {
			return errors.New(body)
		}
		if status != http.StatusOK || answer.Edits != 2 {
			t.Fatalf("%s: %d %s, want 2 edits", id, status, body)
		}
		return nil
	}
	waittest.Until(t, func() error {
		var errs []error
		for _, id := range taken {
			errs = append(errs, right(id))
		}
		if _, metrics := get(t, frozen.URL+"/metrics"); contains(metrics, "\nhashring_members 3\n") != nil {
			errs = append(errs, errors.New("it is not back among the others"))
		}
		return errors.Join(errs...)
	})
	for _, id := range taken {
		edits, _ := hashringEdit(t, frozen.URL, id)
		mustEqual(t, "edits of "+id, edits, 3)
	}
}
