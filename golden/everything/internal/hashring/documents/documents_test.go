package documents_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/everything/internal/hashring/documents"
)

func one(string) int { return 1 }

func edit(t *testing.T, s *documents.Shelf, id, text string) documents.Document {
	t.Helper()
	d, err := s.Edit(id, text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEdits(t *testing.T) {
	t.Parallel()
	s := documents.New(one)
	first := edit(t, s, "a", "two words")
	for i := range 30 {
		edit(t, s, "a", strconv.Itoa(i))
	}
	d, ok := s.Get("a")
	if !ok || d.Edits != 31 || d.Words != 32 || len(d.Last) != 20 || d.Last[19] != "29" || d.Last[0] != "10" {
		t.Errorf("%v %+v", ok, d)
	}
	if diff := cmp.Diff(documents.Document{ID: "a", Edits: 1, Words: 2, Last: []string{"two words"}}, first); diff != "" {
		t.Errorf("an answer changed after it was given:\n%s", diff)
	}
}

// The newer copy stays, whichever comes first, and however often.
func TestImportKeepsTheNewer(t *testing.T) {
	t.Parallel()
	from, to := documents.New(one), documents.New(one)
	edit(t, from, "a", "x")
	old := from.Export(1)
	edit(t, from, "a", "y")
	for _, state := range [][]byte{old, from.Export(1), old, old} {
		if err := to.Import(1, state); err != nil {
			t.Fatal(err)
		}
	}
	if d, _ := to.Get("a"); d.Edits != 2 || to.Keys() != 1 {
		t.Errorf("%+v, %d keys", d, to.Keys())
	}
	if to.Drop(1); to.Keys() != 0 || to.Export(1) != nil {
		t.Errorf("%d keys after the drop", to.Keys())
	}
	if err := to.Import(1, []byte("{")); err == nil {
		t.Error("half a state was taken")
	}
}

func TestTheShelfHasAnEnd(t *testing.T) {
	t.Parallel()
	s := documents.New(one)
	for i := range 10_000 {
		edit(t, s, strconv.Itoa(i), "x")
	}
	if _, err := s.Edit("another", "x"); !errors.Is(err, documents.ErrFull) {
		t.Errorf("%v, want ErrFull", err)
	}
	edit(t, s, "1", "there is room in those that are there")
}
