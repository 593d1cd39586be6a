package eventsourcing

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"example.com/orders/internal/database"
)

const (
	versionSQL = `SELECT coalesce(max(version), 0) FROM eventsourcing_events WHERE stream = $1`
	insertSQL  = `
		INSERT INTO eventsourcing_events (stream, version, type, schema_version, data, recorded_at)
		VALUES ($1, $2, $3, $4, $5, $6)`
	streamSQL = `
		SELECT ` + columnsSQL + ` FROM eventsourcing_events
		WHERE stream = $1 AND version > $2
		ORDER BY version LIMIT $3`

	loadSnapshotSQL = `SELECT version, data FROM eventsourcing_snapshots WHERE stream = $1 AND schema_version = $2`
	// An older state must not take the place of a newer one of the same schema.
	saveSnapshotSQL = `
		INSERT INTO eventsourcing_snapshots (stream, version, schema_version, data) VALUES ($1, $2, $3, $4)
		ON CONFLICT (stream) DO UPDATE SET version = excluded.version, schema_version = excluded.schema_version, data = excluded.data
		WHERE eventsourcing_snapshots.version < excluded.version OR eventsourcing_snapshots.schema_version <> excluded.schema_version`

	addGenerationSQL = `
		INSERT INTO eventsourcing_projections (name, generation, live, at_transaction, at_position) VALUES ($1, $2, $3, 0, 0)
		ON CONFLICT DO NOTHING`
	statesSQL  = `SELECT generation, live FROM eventsourcing_projections WHERE name = $1 ORDER BY generation`
	stateSQL   = `SELECT at_transaction, at_position FROM eventsourcing_projections WHERE name = $1 AND generation = $2`
	advanceSQL = `
		UPDATE eventsourcing_projections SET at_transaction = $3, at_position = $4
		WHERE name = $1 AND generation = $2 AND at_transaction = $5 AND at_position = $6`
	dropStateSQL = `DELETE FROM eventsourcing_projections WHERE name = $1 AND generation = $2`
	setLiveSQL   = `UPDATE eventsourcing_projections SET live = $3 WHERE name = $1 AND generation = $2`
)

// streamVersion returns 0 for a stream that does not exist.
func streamVersion(ctx context.Context, q querier, stream string) (version int64, err error) {
	_, err = queryRow(ctx, q, versionSQL, []any{stream}, &version)
	if err != nil {
		return 0, fmt.Errorf("version of %s: %w", stream, err)
	}
	return version, nil
}

func insertEvent(ctx context.Context, tx database.Tx, e Event) error {
	return exec(ctx, tx, insertSQL, e.Stream, e.Version, e.Type, e.Schema, string(e.Data), e.At.UnixMilli())
}

func readStream(ctx context.Context, q querier, stream string, after int64, limit int) ([]Event, error) {
	events, err := readEvents(ctx, q, streamSQL, stream, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	return events, nil
}

// readAll returns the events that come after a cursor and before which none can
// appear any more.
func readAll(ctx context.Context, q querier, after Cursor, limit int) ([]Event, error) {
	events, err := readEvents(ctx, q, allSQL, after.Transaction, after.Position, limit)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

func readEvents(ctx context.Context, q querier, query string, args ...any) ([]Event, error) {
	var events []Event
	err := queryRows(ctx, q, query, args, func(scan func(...any) error) error {
		var e Event
		var data []byte
		var at int64
		if err := scan(&e.Stream, &e.Version, &e.Cursor.Transaction, &e.Cursor.Position, &e.Type, &e.Schema, &data, &at); err != nil {
			return err
		}
		e.Data, e.At = json.RawMessage(data), time.UnixMilli(at).UTC()
		events = append(events, e)
		return nil
	})
	return events, err
}

// loadSnapshot returns version 0 where there is none of that schema.
func loadSnapshot(ctx context.Context, q querier, stream string, schema int) (data []byte, version int64, err error) {
	if _, err = queryRow(ctx, q, loadSnapshotSQL, []any{stream, schema}, &version, &data); err != nil {
		return nil, 0, fmt.Errorf("snapshot of %s: %w", stream, err)
	}
	return data, version, nil
}

func saveSnapshot(ctx context.Context, q querier, stream string, version int64, schema int, data []byte) error {
	return exec(ctx, q, saveSnapshotSQL, stream, version, schema, string(data))
}

// addGeneration adds a projection that has seen no event, where it is not there.
func addGeneration(ctx context.Context, q querier, name string, generation int64, live bool) error {
	if live {
		var n int64
		if _, err := queryRow(ctx, q, `SELECT count(*) FROM eventsourcing_projections WHERE name = $1`, []any{name}, &n); err != nil || n > 0 {
			return err
		}
	}
	return exec(ctx, q, addGenerationSQL, name, generation, live)
}

type state struct {
	generation int64
	live       bool
}

func projectionStates(ctx context.Context, q querier, name string) ([]state, error) {
	var states []state
	err := queryRows(ctx, q, statesSQL, []any{name}, func(scan func(...any) error) error {
		var s state
		err := scan(&s.generation, &s.live)
		states = append(states, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("state of projection %s: %w", name, err)
	}
	return states, nil
}

// lockState returns where a generation is, and keeps others from it until the end
// of the transaction; or false, where another one does, or it has been replaced.
func lockState(ctx context.Context, tx database.Tx, name string, generation int64) (at Cursor, ok bool, err error) {
	if ok, err = tryLock(ctx, tx, name, generation); err != nil || !ok {
		return at, false, err
	}
	return stateOf(ctx, tx, name, generation)
}

// stateOf returns false for a generation that has been replaced.
func stateOf(ctx context.Context, q querier, name string, generation int64) (at Cursor, ok bool, err error) {
	ok, err = queryRow(ctx, q, stateSQL, []any{name, generation}, &at.Transaction, &at.Position)
	if err != nil {
		return at, false, fmt.Errorf("state of projection %s, generation %d: %w", name, generation, err)
	}
	return at, ok, nil
}

// advance moves a generation on, if it is still where it was.
func advance(ctx context.Context, q querier, name string, generation int64, from, to Cursor) error {
	return exec(ctx, q, advanceSQL, name, generation, to.Transaction, to.Position, from.Transaction, from.Position)
}

// overtaken returns the generation that is live, if another one has come as far,
// and keeps others from both until the end of the transaction.
func overtaken(ctx context.Context, tx database.Tx, name string, generation int64) (live int64, ok bool, err error) {
	states, err := projectionStates(ctx, tx, name)
	if err != nil {
		return 0, false, err
	}
	var liveAt, nextAt Cursor
	for _, s := range states {
		at, ok, err := lockState(ctx, tx, name, s.generation)
		if err != nil || !ok {
			return 0, false, err
		}
		switch {
		case s.live:
			live, liveAt = s.generation, at
		case s.generation == generation:
			nextAt = at
		}
	}
	return live, len(states) == 2 && !nextAt.before(liveAt), nil
}

func (c Cursor) before(d Cursor) bool {
	return c.Transaction < d.Transaction || c.Transaction == d.Transaction && c.Position < d.Position
}

// setLive makes a generation the one that is read, and forgets the one before.
func setLive(ctx context.Context, tx database.Tx, name string, generation, before int64) error {
	if err := exec(ctx, tx, dropStateSQL, name, before); err != nil {
		return err
	}
	return exec(ctx, tx, setLiveSQL, name, generation, true)
}

// lag returns how old the oldest event is that the live generation has yet to work
// off, in seconds.
func lag(ctx context.Context, q querier, name string) (float64, error) {
	var at *int64
	if _, err := queryRow(ctx, q, lagSQL, []any{name}, &at); err != nil {
		return 0, fmt.Errorf("lag of projection %s: %w", name, err)
	}
	if at == nil {
		return 0, nil
	}
	return time.Since(time.UnixMilli(*at)).Seconds(), nil
}
