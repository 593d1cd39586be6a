package eventsourcing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"example.com/orders/internal/database"
)

// An Aggregate is a kind of things of which each has a stream of events and, worked
// out from them, a state S. It is safe for concurrent use.
//
// S is kept as JSON in snapshots, so all of it must be exported fields.
type Aggregate[S any] struct {
	log    *Log
	kind   string
	schema int
	apply  func(S, Event) S
}

// NewAggregate returns the things of a kind. apply returns the state that follows
// from an event; it must do nothing else, and keep no pointer into the state that
// it was given. The schema is raised when S or apply changes: older snapshots are
// then left aside.
func NewAggregate[S any](log *Log, kind string, schema int, apply func(S, Event) S) *Aggregate[S] {
	return &Aggregate[S]{log: log, kind: kind, schema: schema, apply: apply}
}

// Stream is the name of the stream of one thing.
func (a *Aggregate[S]) Stream(id string) string { return a.kind + "-" + id }

// Load returns the state of one thing and its version, 0 for one to which nothing
// has happened.
func (a *Aggregate[S]) Load(ctx context.Context, id string) (S, int64, error) {
	state, version, _, err := a.load(ctx, a.log.db, id)
	return state, version, err
}

// LoadTx is [Aggregate.Load] as a part of a transaction, whose own events it sees.
func (a *Aggregate[S]) LoadTx(ctx context.Context, tx database.Tx, id string) (S, error) {
	state, _, _, err := a.load(ctx, tx, id)
	return state, err
}

// load also returns the version of the snapshot that it began with.
func (a *Aggregate[S]) load(ctx context.Context, q querier, id string) (state S, version, kept int64, err error) {
	stream := a.Stream(id)
	data, kept, err := loadSnapshot(ctx, q, stream, a.schema)
	if err != nil {
		return state, 0, 0, err
	}
	if kept > 0 {
		if state, err = read[S](data); err != nil {
			a.log.log.WarnContext(ctx, "a snapshot can't be read; all events are", "stream", stream, "error", err)
			kept = 0
		}
	}
	version = kept
	for {
		events, err := a.log.decoded(readStream(ctx, q, stream, version, a.log.config.BatchEvents))
		if err != nil {
			return state, 0, 0, err
		}
		for _, e := range events {
			state, version = a.apply(state, e), e.Version
		}
		if len(events) < a.log.config.BatchEvents {
			return state, version, kept, nil
		}
	}
}

// read returns the state of a snapshot, which nothing else stands for it to be: not null.
func read[S any](data []byte) (state S, err error) {
	if string(bytes.TrimSpace(data)) == "null" {
		return state, errors.New("it is null")
	}
	if err := json.Unmarshal(data, &state); err != nil {
		var none S
		return none, err
	}
	return state, nil
}

// Update changes one thing: decide is given its state and returns what happens
// then, nothing if it is nothing, or why it can't. When others change the same
// thing meanwhile it is asked again a little later, with the new state; after
// EVENTSOURCING_MAX_ATTEMPTS the error is [ErrConflict]. So decide must have no
// effect but its result.
func (a *Aggregate[S]) Update(ctx context.Context, id string, decide func(S) ([]any, error)) (S, int64, error) {
	for attempt := 1; ; attempt++ {
		state, version, kept, err := a.load(ctx, a.log.db, id)
		if err != nil {
			return state, 0, err
		}
		values, err := decide(state)
		if err != nil || len(values) == 0 {
			return state, version, err
		}
		_, events, err := a.log.append(ctx, a.Stream(id), version, values)
		if errors.Is(err, ErrConflict) && attempt < a.log.config.MaxAttempts {
			if err := pause(ctx, attempt, err); err != nil {
				return state, 0, err
			}
			continue
		}
		if events, err = a.log.decoded(events, err); err != nil {
			return state, 0, err
		}
		for _, e := range events {
			state, version = a.apply(state, e), e.Version
		}
		if version-kept >= a.log.config.SnapshotEvery {
			a.keep(ctx, id, state, version)
		}
		return state, version, nil
	}
}

// UpdateTx is [Aggregate.Update] as a part of a transaction, and asks once: after a
// conflict the transaction has to be begun anew. Changes in one transaction that
// meet others should touch things in one order, or they can lock each other out.
func (a *Aggregate[S]) UpdateTx(ctx context.Context, tx database.Tx, id string, decide func(S) ([]any, error)) error {
	state, version, kept, err := a.load(ctx, tx, id)
	if err != nil {
		return err
	}
	if version-kept >= a.log.config.SnapshotEvery {
		// With the transaction, as the state may hold what happened in it.
		if err := a.save(ctx, tx, id, state, version); err != nil {
			return err
		}
	}
	values, err := decide(state)
	if err != nil || len(values) == 0 {
		return err
	}
	return a.log.AppendTx(ctx, tx, a.Stream(id), version, values...)
}

// keep writes a snapshot. One that can't be written costs time at the next load,
// and nothing else.
func (a *Aggregate[S]) keep(ctx context.Context, id string, state S, version int64) {
	if err := a.save(ctx, a.log.db, id, state, version); err != nil {
		a.log.log.WarnContext(ctx, "no snapshot", "stream", a.Stream(id), "error", err)
	}
}

func (a *Aggregate[S]) save(ctx context.Context, q querier, id string, state S, version int64) error {
	data, err := json.Marshal(state)
	if err == nil {
		err = saveSnapshot(ctx, q, a.Stream(id), version, a.schema, data)
	}
	if err != nil {
		return fmt.Errorf("keep a snapshot of %s: %w", a.Stream(id), err)
	}
	return nil
}
