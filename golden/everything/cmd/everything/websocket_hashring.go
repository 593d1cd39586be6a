package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"unicode/utf8"

	"example.com/orders/internal/hashring"
	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/websocket"
)

// setupWebSocketHashring mounts sticky rooms: each is on the instance that owns it
// on the ring, with all of its sockets, whichever instance they were asked of.
func (a *App) setupWebSocketHashring(s *settings) start {
	config := loadConfig[websocket.RoomsConfig](s)
	ring := loadConfig[hashring.Config](s)
	return func(context.Context) error {
		rooms := websocket.NewRooms(a.websocket, config, hashring.PartitionOf)
		a.hashring.Add("rooms", rooms)
		a.life.OnDrain(rooms.Drain)
		a.life.Go("websocket_hashring", func(ctx context.Context) error {
			return rooms.Watch(ctx, ring.Lease/5, func(room string) bool {
				return a.hashring.Do(room, func() error { return nil }) == nil
			})
		})

		sticky := stickyRooms{a.hashring, rooms}
		a.mux.Handle("GET /sticky/{id}", a.hashring.Handler(roomOf, sticky.people))
		a.mux.Handle("GET /sticky/{id}/socket", a.hashring.Handler(roomOf, sticky.socket))
		a.mux.Handle("POST /sticky/{id}/messages", a.hashring.Handler(roomOf, sticky.post))
		return nil
	}
}

// stickyRooms are the rooms, and the ring that says whose they are.
type stickyRooms struct {
	ring  *hashring.Node
	rooms *websocket.Rooms
}

// do does work on a room if it is this instance's.
func (s stickyRooms) do(room string, work func() error) error {
	err := s.ring.Do(room, work)
	switch {
	case errors.Is(err, websocket.ErrMoved):
		return hashring.ErrNotOwner
	case errors.Is(err, websocket.ErrRoomsFull):
		return httpapi.NewProblem(http.StatusInsufficientStorage, "There is no place for another room.")
	}
	return chatProblem(err)
}

// stickyRoom is who is in a room, and where it is.
type stickyRoom struct {
	Owner   string   `json:"owner"`
	Sockets int      `json:"sockets"`
	People  []string `json:"people"`
	Last    string   `json:"last"`
}

func (s stickyRooms) people(w http.ResponseWriter, r *http.Request) error {
	room, err := roomOf(r)
	if err != nil {
		return err
	}
	answer := stickyRoom{Owner: s.ring.Name()}
	err = s.do(room, func() error {
		var ok bool
		if answer.People, answer.Sockets, answer.Last, ok = s.rooms.People(room); !ok {
			return httpapi.NewProblem(http.StatusNotFound, "There is no such room.")
		}
		return nil
	})
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, r, http.StatusOK, answer)
	return nil
}

// socket lets the caller into a room. Whoever may call it reads and writes there,
// by any name: check here that the caller may, and who it is.
func (s stickyRooms) socket(w http.ResponseWriter, r *http.Request) error {
	id, err := roomOf(r)
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("from")
	if utf8.RuneCountInString(name) > 40 {
		return httpapi.NewProblem(http.StatusBadRequest, "from: must be at most 40 characters.")
	}
	if err := s.rooms.Allow(w, r); err != nil { // before there is a room
		return err
	}
	var room *websocket.Room
	if err := s.do(id, func() (err error) { room, err = s.rooms.Open(id); return err }); err != nil {
		return err
	}
	err = room.Serve(w, r, name, func(ctx context.Context, data json.RawMessage) (string, error) {
		return s.say(ctx, id, data)
	})
	if errors.Is(err, websocket.ErrMoved) {
		return hashring.ErrNotOwner
	}
	return err
}

func (s stickyRooms) post(w http.ResponseWriter, r *http.Request) error {
	room, err := roomOf(r)
	if err != nil {
		return err
	}
	data, err := httpapi.DecodeJSON[json.RawMessage](r)
	if err != nil {
		return err
	}
	id, err := s.say(r.Context(), room, data)
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, r, http.StatusCreated, map[string]string{"message": id, "owner": s.ring.Name()})
	return nil
}

// say checks a chat message and publishes it in a room that is this instance's.
func (s stickyRooms) say(ctx context.Context, room string, data json.RawMessage) (id string, err error) {
	if data, err = checkChat(data); err != nil {
		return "", err
	}
	err = s.do(room, func() (err error) {
		id, err = s.rooms.Publish(ctx, websocket.Message{Room: room, Data: data})
		return err
	})
	return id, err
}
