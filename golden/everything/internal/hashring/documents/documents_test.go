package documents_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/orders/internal/hashring/documents"
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

func move(t *testing.T, from, to *documents.Shelf) {
	t.Helper()
	if err := to.Import(1, from.Export(1)); err != nil {
		t.Fatal(err)
	}
}

// Who was lost comes back with more edits than there have been since: those since
// stay, whether they were made on a copy or on none, and whoever takes from whom.
func TestWhatBeganLaterIsNewer(t *testing.T) {
	t.Parallel()
	for name, copied := range map[string]bool{"nothing": false, "a copy": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lost, next, third := documents.New(one), documents.New(one), documents.New(one)
			edit(t, lost, "a", "x")
			want := 1
			if copied {
				move(t, lost, next) // and next back, the word of it was not heard
				want = 2
			}
			for range 5 {
				edit(t, lost, "a", "more")
			}
			next.Begin(1, false)
			edit(t, next, "a", "y")
			move(t, lost, next)
			move(t, next, third)
			move(t, lost, third)
			move(t, next, lost)
			for _, s := range []*documents.Shelf{lost, next, third} {
				if d, _ := s.Get("a"); d.Edits != want || d.Last[want-1] != "y" {
					t.Errorf("%+v, want %d edits, y the last", d, want)
				}
			}
			// What came back is gone on with, and that counts.
			lost.Begin(1, false)
			edit(t, lost, "a", "z")
			if move(t, lost, next); edit(t, next, "a", "!").Edits != want+2 {
				t.Error("what was handed over did not replace the copy")
			}
		})
	}
}

// A member loses a partition and has it again with its own copy: it begins anew too.
func TestWhoComesBackBeginsAnew(t *testing.T) {
	t.Parallel()
	back, other := documents.New(one), documents.New(one)
	edit(t, back, "a", "x")
	move(t, back, other)
	for range 3 {
		edit(t, other, "a", "not handed back")
	}
	back.Begin(1, false)
	edit(t, back, "a", "y")
	move(t, other, back)
	if d, _ := back.Get("a"); d.Edits != 2 || d.Last[1] != "y" {
		t.Errorf("%+v, want its own", d)
	}
}

// What is handed over goes on as newer where the clock it comes from is ahead.
func TestAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	ahead := []byte(`{"a":{"id":"a","edits":5,"words":5,"last":["x"],"began":"` + time.Now().Add(time.Hour).Format(time.RFC3339Nano) + `"}}`)
	s, next := documents.New(one), documents.New(one)
	for _, to := range []*documents.Shelf{s, next} {
		if err := to.Import(1, ahead); err != nil {
			t.Fatal(err)
		}
	}
	edit(t, s, "a", "y")
	if move(t, s, next); edit(t, next, "a", "z").Edits != 7 {
		t.Error("what was handed over is taken for older than before")
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
