package eventsourcing

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Types are the types of events, each with the Go type of its data. It is set up
// by one goroutine, and then read by any number.
type Types struct {
	byName map[string]eventType
	byType map[reflect.Type]string
}

type eventType struct {
	decode    func(json.RawMessage) (any, error)
	upcasters []Upcaster
}

// schema is the form in which the type is written today.
func (t eventType) schema() int { return len(t.upcasters) + 1 }

// An Upcaster turns an event's data of one schema into the next one.
type Upcaster func(json.RawMessage) (json.RawMessage, error)

// ErrNewer means that an event was written by a newer version of the service: this
// one can't read it, and must not guess.
var ErrNewer = errors.New("was written by a newer version of this service")

// NewTypes returns no types.
func NewTypes() *Types {
	return &Types{byName: make(map[string]eventType), byType: make(map[reflect.Type]string)}
}

// Register makes T the data of events of that name. Events are kept for ever, so
// when T changes so that it can't read the old ones, an upcaster is added: the
// first one turns schema 1 into 2, the next 2 into 3. It panics when the name or T
// is registered already, which is a mistake in the program.
func Register[T any](types *Types, name string, upcasters ...Upcaster) {
	t := reflect.TypeFor[T]()
	if _, ok := types.byName[name]; ok {
		panic("event type " + name + " is registered twice")
	}
	if other, ok := types.byType[t]; ok {
		panic(fmt.Sprintf("%s is registered as event type %s and %s", t, other, name))
	}
	types.byType[t] = name
	types.byName[name] = eventType{
		upcasters: upcasters,
		decode: func(data json.RawMessage) (any, error) {
			var v T
			err := json.Unmarshal(data, &v)
			return v, err
		},
	}
}

func (t *Types) encode(v any) (Event, error) {
	name, ok := t.byType[reflect.TypeOf(v)]
	if !ok {
		return Event{}, fmt.Errorf("%T is no registered event", v)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return Event{}, fmt.Errorf("encode %s: %w", name, err)
	}
	return Event{Type: name, Schema: t.byName[name].schema(), Data: data}, nil
}

func (t *Types) decode(e Event) (any, error) {
	known, ok := t.byName[e.Type]
	if !ok {
		return nil, fmt.Errorf("type %q: %w", e.Type, ErrNewer)
	}
	if e.Schema > known.schema() {
		return nil, fmt.Errorf("schema %d of %s: %w", e.Schema, e.Type, ErrNewer)
	}
	data := e.Data
	for s := e.Schema; s < known.schema(); s++ {
		var err error
		if data, err = known.upcasters[s-1](data); err != nil {
			return nil, fmt.Errorf("%s from schema %d to %d: %w", e.Type, s, s+1, err)
		}
	}
	v, err := known.decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", e.Type, err)
	}
	return v, nil
}
