package websocket

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/gob"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/orders/internal/setting"
)

// RoomsConfig holds what one instance spends on rooms that it has in memory.
type RoomsConfig struct {
	// MaxRooms is how many there are at most.
	MaxRooms int `env:"WEBSOCKET_ROOMS" envDefault:"10000"`
	// Messages is how many past messages a room keeps.
	Messages int `env:"WEBSOCKET_ROOM_MESSAGES" envDefault:"256"`
	// Bytes is the size of what it keeps of them; the last one is kept in any case.
	Bytes int `env:"WEBSOCKET_ROOM_BYTES" envDefault:"65536"`
}

// Validate reports a value with which no room could be.
func (c RoomsConfig) Validate() error {
	return errors.Join(
		setting.Between("WEBSOCKET_ROOMS", c.MaxRooms, 1, 1<<24),
		setting.Between("WEBSOCKET_ROOM_MESSAGES", c.Messages, 1, 1<<20),
		setting.Between("WEBSOCKET_ROOM_BYTES", c.Bytes, 1, 1<<30),
	)
}

var (
	// ErrMoved is that the room is not on this instance any more.
	ErrMoved = errors.New("the room is moving")
	// ErrRoomsFull is that there is no place for another room.
	ErrRoomsFull = errors.New("there is no place for another room")
)

// Rooms are rooms that are on one instance each. A room has a hub of its own, with
// an epoch and a sequence that go with it to the instance that has it next.
//
// Whether a room is this instance's is for the caller to know. Open, Publish and
// People must run while it is; Export, Import and Drop while it is not.
type Rooms struct {
	hub       *Hub // for the limits and counters
	config    RoomsConfig
	partition func(key string) int

	mu       sync.Mutex
	rooms    map[int]map[string]*Room
	count    int
	draining bool
}

// A Room is a place for messages, and who hears them.
type Room struct {
	key    string
	began  time.Time
	rooms  *Rooms
	hub    *Hub           // guarded by rooms.mu; drained where its sockets had to go
	people map[string]int // guarded by rooms.mu
	used   time.Time      // guarded by rooms.mu
}

// NewRooms returns no rooms yet. Their sockets count towards the limit of the hub;
// partition says where a key belongs.
func NewRooms(hub *Hub, config RoomsConfig, partition func(key string) int) *Rooms {
	return &Rooms{hub: hub, config: config, partition: partition, rooms: make(map[int]map[string]*Room)}
}

// Allow returns the problem that [Hub.Serve] has with a request that is from a
// page of another origin, or no handshake, or for which there is no socket. No room
// is to be opened for it: it would take another's place.
func (r *Rooms) Allow(w http.ResponseWriter, req *http.Request) error {
	if err := r.hub.allow(w, req); err != nil {
		return err
	}
	if r.hub.pool.count.Load() >= int64(r.hub.config.MaxClients) {
		return r.hub.refuse(refuseFull)
	}
	return nil
}

// Open returns a room, and makes it where there is none.
func (r *Rooms) Open(key string) (*Room, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return nil, ErrMoved
	}
	return r.open(key)
}

// open is Open while the service stops, too; mu is held.
func (r *Rooms) open(key string) (*Room, error) {
	room, ok := r.rooms[r.partition(key)][key]
	if !ok {
		if r.count >= r.config.MaxRooms {
			return nil, ErrRoomsFull
		}
		room = r.put(newRoom(key, time.Now()), time.Now())
	}
	if !r.draining && room.hub.isDraining() {
		room.hub = r.newHub(room.state())
	}
	room.used = time.Now()
	return room, nil
}

// newRoom is a room in which nothing was said yet.
func newRoom(key string, began time.Time) roomState {
	return roomState{Key: key, Epoch: strings.ToLower(rand.Text()[:10]), Began: began}
}

// put makes a room of a state; mu is held.
func (r *Rooms) put(s roomState, now time.Time) *Room {
	p := r.partition(s.Key)
	if r.rooms[p] == nil {
		r.rooms[p] = make(map[string]*Room)
	}
	if old, ok := r.rooms[p][s.Key]; ok {
		old.hub.Drain()
	} else {
		r.count++
	}
	room := &Room{key: s.Key, began: s.Began, rooms: r, hub: r.newHub(s), people: make(map[string]int), used: now}
	r.rooms[p][s.Key] = room
	return room
}

func (r *Rooms) newHub(s roomState) *Hub {
	h := &Hub{
		config: r.hub.config, log: r.hub.log, metrics: r.hub.metrics, tracer: r.hub.tracer,
		protection: r.hub.protection, pool: r.hub.pool,
		drain:   make(chan struct{}),
		replays: make(chan struct{}, r.hub.config.MaxReplays),
		epoch:   s.Epoch,
		seq:     s.Seq,
		window:  newWindow(r.config.Messages, r.hub.config.WindowAge),
		rooms:   make(map[string]map[*client]struct{}),
		sockets: make(map[*socket]struct{}),
	}
	h.record = memory{h}
	h.window.floor, h.window.most = s.Floor, r.config.Bytes
	for _, m := range s.Messages {
		h.window.add(&frame{seq: m.Seq, at: m.At, room: s.Key, wire: m.Wire})
	}
	return h
}

// Publish says something in the room of the message, and returns its id.
func (r *Rooms) Publish(ctx context.Context, m Message) (string, error) {
	r.mu.Lock()
	room, err := r.open(m.Room)
	r.mu.Unlock()
	if err != nil {
		return "", err
	}
	return room.now().Publish(ctx, m)
}

// People returns who has a socket in the room, by name, how many sockets that is,
// and the id of the last message; ok is false where there is no such room.
func (r *Rooms) People(key string) (names []string, sockets int, last string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	room, ok := r.rooms[r.partition(key)][key]
	if !ok {
		return nil, 0, "", false
	}
	names = []string{}
	for name, count := range room.people {
		if sockets += count; name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, sockets, room.hub.position().String(), true
}

// Serve is [Hub.Serve] in the room, for who goes by that name, or "". It returns
// [ErrMoved] where the room went before there was a socket.
func (room *Room) Serve(w http.ResponseWriter, r *http.Request, name string, receive Receiver) error {
	hub := room.now()
	room.enter(name, 1)
	defer room.enter(name, -1)
	err := hub.Serve(w, r, room.key, receive)
	if err != nil && hub.isDraining() {
		return ErrMoved
	}
	return err
}

func (room *Room) enter(name string, by int) {
	room.rooms.mu.Lock()
	defer room.rooms.mu.Unlock()
	if room.people[name] += by; room.people[name] == 0 {
		delete(room.people, name)
	}
	room.used = time.Now()
}

func (room *Room) now() *Hub {
	room.rooms.mu.Lock()
	defer room.rooms.mu.Unlock()
	return room.hub
}

// Watch looks, time and again until ctx is done, which rooms this instance has no
// right to any more, and closes their sockets. It forgets rooms that nobody was in
// and nothing was said in for as long as messages are kept.
func (r *Rooms) Watch(ctx context.Context, interval time.Duration, mine func(key string) bool) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			r.look(now, mine)
		}
	}
}

func (r *Rooms) look(now time.Time, mine func(key string) bool) {
	for _, room := range r.all() {
		hub := room.now()
		if !hub.isDraining() && !mine(room.key) {
			hub.Drain()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, rooms := range r.rooms {
		for key, room := range rooms {
			if len(room.people) == 0 && now.Sub(room.used) > r.hub.config.WindowAge {
				delete(r.rooms[p], key)
				r.count--
			}
		}
	}
}

func (r *Rooms) all() []*Room {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*Room
	for _, rooms := range r.rooms {
		for _, room := range rooms {
			all = append(all, room)
		}
	}
	return all
}

// Drain has every socket closed with the code 1012, and opens no room any more.
// It does not wait: the hub that counts the sockets does, in [Hub.Close].
func (r *Rooms) Drain() {
	r.mu.Lock()
	r.draining = true
	r.mu.Unlock()
	for _, room := range r.all() {
		room.now().Drain()
	}
}

// A roomState is a room as it goes to another instance. Of two copies of one
// epoch, that with the higher sequence is newer; of two epochs, that which began
// later: its instance knew of no other, or not how far that had come.
type roomState struct {
	Key      string
	Epoch    string
	Began    time.Time
	Seq      uint64
	Floor    uint64
	Messages []roomMessage
}

type roomMessage struct {
	Seq  uint64
	At   time.Time
	Wire []byte
}

// state returns the room's; rooms.mu is held.
func (room *Room) state() roomState {
	h := room.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	h.window.expire(time.Now())
	s := roomState{Key: room.key, Epoch: h.epoch, Began: room.began, Seq: h.seq, Floor: h.window.floor}
	for i := range h.window.count {
		f := h.window.at(i)
		s.Messages = append(s.Messages, roomMessage{f.seq, f.at, f.wire})
	}
	return s
}

func (s roomState) newer(than roomState) bool {
	if s.Epoch == than.Epoch {
		return s.Seq > than.Seq
	}
	return s.Began.After(than.Began)
}

// Export returns a partition's rooms, and closes their sockets.
func (r *Rooms) Export(partition int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []roomState
	for _, room := range r.rooms[partition] {
		room.hub.Drain()
		all = append(all, room.state())
	}
	if len(all) == 0 {
		return nil
	}
	var encoded bytes.Buffer
	_ = gob.NewEncoder(&encoded).Encode(all) // strings, numbers and times always encode
	return encoded.Bytes()
}

// Import takes rooms, but not where there is a newer one. It takes them over the
// limit: they have no other place.
func (r *Rooms) Import(_ int, state []byte) error {
	var all []roomState
	if err := gob.NewDecoder(bytes.NewReader(state)).Decode(&all); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range all {
		if room, ok := r.rooms[r.partition(s.Key)][s.Key]; !ok || s.newer(room.state()) {
			r.put(s, time.Now())
		}
	}
	return nil
}

// Begin has the rooms of a partition begin anew where others may have gone on from a
// copy of them that is not here: under the epoch that they had, the same ids would
// stand for other messages.
func (r *Rooms) Begin(partition int, newest bool) {
	if newest {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, room := range r.rooms[partition] {
		// Later than the copy at hand, also where its instance's clock is ahead.
		began := time.Now()
		if !began.After(room.began) {
			began = room.began.Add(1)
		}
		r.put(newRoom(key, began), room.used)
	}
}

// Drop forgets a partition.
func (r *Rooms) Drop(partition int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, room := range r.rooms[partition] {
		room.hub.Drain()
	}
	r.count -= len(r.rooms[partition])
	delete(r.rooms, partition)
}

// Keys returns how many rooms there are.
func (r *Rooms) Keys() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// isDraining reports whether the hub takes no sockets any more.
func (h *Hub) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}
