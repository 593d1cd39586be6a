package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/websocket/websockettest"
)

var testRooms = RoomsConfig{MaxRooms: 10, Messages: 100, Bytes: 1 << 20}

// newRooms returns the rooms of one instance, all in partition 1, and the URL below
// which each path is one.
func newRooms(t *testing.T, config RoomsConfig) (*Rooms, string) {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	hub := newHub(t, testConfig())
	rooms := NewRooms(hub, config, func(string) int { return 1 })
	server := httptest.NewServer(httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
		room, err := rooms.Open(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			return err
		}
		return room.Serve(w, r, "ann", func(context.Context, json.RawMessage) (string, error) { return "", nil })
	}))
	t.Cleanup(func() {
		rooms.Drain()
		server.Close()
		if err := hub.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return rooms, server.URL
}

func sayIn(t *testing.T, r *Rooms, room, text string) (id string) {
	t.Helper()
	id, err := r.Publish(t.Context(), Message{Room: room, Data: json.RawMessage(strconv.Quote(text))})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func hear(t *testing.T, s *websockettest.Socket, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if f, err := s.Next(); err != nil || f.Type != "message" || string(f.Data) != strconv.Quote(text) {
			t.Fatalf("got %+v, %v, want %q", f, err, text)
		}
	}
}

// A room goes to another instance and back with all that was said in it, and each
// time its sockets are closed.
func TestRoomMoves(t *testing.T) {
	t.Parallel()
	from, fromURL := newRooms(t, testRooms)
	to, toURL := newRooms(t, testRooms)
	sayIn(t, from, "a", "<before>")
	begin := position{from.rooms[1]["a"].hub.epoch, 0}.String()
	socket := websockettest.Open(t, fromURL+"/a", begin)
	hear(t, socket, "<before>")
	for i := range 4 {
		state := from.Export(1)
		if f, err := socket.Next(); websockettest.Code(err) != 1012 {
			t.Fatalf("got %+v, %v", f, err)
		}
		if err := to.Import(1, state); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			from.Drop(1)
			if from.Keys() != 0 || from.Export(1) != nil {
				t.Errorf("%d rooms after the drop", from.Keys())
			}
		} // else the copy stays, as where the word of the drop was lost
		from, to, fromURL, toURL = to, from, toURL, fromURL
		sayIn(t, from, "a", "missed "+strconv.Itoa(i))
		socket = websockettest.Open(t, fromURL+"/a", socket.Token)
		hear(t, socket, "missed "+strconv.Itoa(i))
	}
	names, sockets, _, ok := from.People("a")
	if diff := cmp.Diff([]string{"ann"}, names); diff != "" || sockets != 1 || !ok {
		t.Errorf("%d sockets, %t: %s", sockets, ok, diff)
	}
	again := websockettest.Open(t, fromURL+"/a", begin)
	hear(t, again, "<before>", "missed 0", "missed 1", "missed 2", "missed 3")
}

// Of two copies the newer one stays, whichever comes first, and its sockets with
// it; a room that began anew is known by its epoch.
func TestTheNewerRoomStays(t *testing.T) {
	t.Parallel()
	lost, _ := newRooms(t, testRooms)
	sayIn(t, lost, "a", "1")
	older := lost.Export(1)
	sayIn(t, lost, "a", "2")
	token := sayIn(t, lost, "a", "3")

	next, url := newRooms(t, testRooms)
	sayIn(t, next, "a", "anew")
	socket := websockettest.Open(t, url+"/a", token)
	if f, err := socket.Next(); err != nil || f.Type != "reset" || f.Reason != "unknown" {
		t.Fatalf("got %+v, %v", f, err)
	}
	for _, state := range [][]byte{older, lost.Export(1)} {
		if err := next.Import(1, state); err != nil {
			t.Fatal(err)
		}
	}
	sayIn(t, next, "a", "goes on")
	hear(t, socket, "goes on")

	if err := lost.Import(1, next.Export(1)); err != nil {
		t.Fatal(err)
	}
	if id, want := sayIn(t, lost, "a", "x"), socket.Token; strings.Split(id, "-")[0] != strings.Split(want, "-")[0] {
		t.Errorf("goes on as %s, was %s", id, want)
	}
	if err := next.Import(1, []byte("{")); err == nil {
		t.Error("half a state was taken")
	}
}

// An instance has an old copy of a room whose owner was killed: what was said since,
// and was heard, is not what it goes on with, so it goes on under another epoch.
func TestAnOldCopyBeginsAnew(t *testing.T) {
	t.Parallel()
	old, oldURL := newRooms(t, testRooms)
	killed, killedURL := newRooms(t, testRooms)
	sayIn(t, old, "a", "1")
	state := old.Export(1) // and the word to drop it is lost
	if err := killed.Import(1, state); err != nil {
		t.Fatal(err)
	}
	killed.Begin(1, true)
	begin := position{old.rooms[1]["a"].hub.epoch, 0}.String()
	socket := websockettest.Open(t, killedURL+"/a", begin)
	sayIn(t, killed, "a", "2")
	sayIn(t, killed, "a", "3")
	hear(t, socket, "1", "2", "3") // handed over, it is the same room

	old.Begin(1, false)
	for _, text := range []string{"another 2", "another 3", "another 4"} {
		sayIn(t, old, "a", text)
	}
	again := websockettest.Open(t, oldURL+"/a", socket.Token)
	if f, err := again.Next(); err != nil || f.Type != "reset" || f.Reason != "unknown" {
		t.Fatalf("got %+v, %v", f, err)
	}
	// One more copy that was left behind does not come back.
	if err := old.Import(1, killed.Export(1)); err != nil {
		t.Fatal(err)
	}
	sayIn(t, old, "a", "goes on")
	hear(t, again, "goes on")
}

// An instance that has no right to a room any more closes its sockets, and serves it
// again when it has.
func TestRoomsAreWatched(t *testing.T) {
	t.Parallel()
	rooms, url := newRooms(t, testRooms)
	socket, other := websockettest.Open(t, url+"/a", ""), websockettest.Open(t, url+"/b", "")
	rooms.look(time.Now(), func(room string) bool { return room == "b" })
	if f, err := socket.Next(); websockettest.Code(err) != 1012 {
		t.Fatalf("got %+v, %v", f, err)
	}
	sayIn(t, rooms, "a", "again")
	hear(t, websockettest.Open(t, url+"/a", socket.Token), "again")
	sayIn(t, rooms, "b", "still there")
	hear(t, other, "still there")

	// Rooms are forgotten when nobody is there.
	rooms.look(time.Now().Add(2*time.Hour), func(string) bool { return true })
	if rooms.Keys() != 2 {
		t.Errorf("%d rooms", rooms.Keys())
	}
	if err := other.Leave(); err != nil {
		t.Error(err)
	}
	waittest.Until(t, func() error {
		rooms.look(time.Now().Add(2*time.Hour), func(string) bool { return true })
		if rooms.Keys() != 1 {
			return errors.New("the room is still there")
		}
		return nil
	})
}

func TestRoomsHaveLimits(t *testing.T) {
	t.Parallel()
	rooms, url := newRooms(t, RoomsConfig{MaxRooms: 1, Messages: 100, Bytes: 200})
	begin := websockettest.Open(t, url+"/a", "").Token
	if _, err := rooms.Open("b"); !errors.Is(err, ErrRoomsFull) {
		t.Errorf("a second room: %v", err)
	}
	for range 5 {
		sayIn(t, rooms, "a", strings.Repeat("x", 50))
	}
	if got := rooms.rooms[1]["a"].hub.window; got.count != 2 || got.bytes > 200 {
		t.Errorf("%d messages of %d bytes are kept", got.count, got.bytes)
	}
	sayIn(t, rooms, "a", strings.Repeat("x", 500))
	socket := websockettest.Open(t, url+"/a", begin)
	if f, err := socket.Next(); err != nil || f.Type != "reset" || f.Reason != "expired" {
		t.Errorf("got %+v, %v", f, err)
	}
	rooms.Drain()
	if _, err := rooms.Open("a"); !errors.Is(err, ErrMoved) {
		t.Errorf("a room of a service that stops: %v", err)
	}
}
