package jobstatus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river/rivertype"

	"example.com/orders/internal/database"
	"example.com/orders/internal/polling"
)

// Polled returns the board's jobs as they are polled, by their ids. The pool's
// jobs are in db.
func (b *Board) Polled(db *database.Pool) polling.Source { return polled{b, db} }

type polled struct {
	board *Board
	db    *database.Pool
}

// A mark is what tells a version of a job from the others, without its result.
type mark struct {
	state rivertype.JobState
	runAt time.Time
	// rest is all else that a status can show, as the database writes it.
	rest string
}

// Version implements [polling.Source]. It takes its turn as all reads do.
func (p polled) Version(ctx context.Context, key string) (v polling.Version, err error) {
	id, err := parseID(key)
	if err != nil {
		return v, errors.Join(polling.ErrNotFound, err)
	}
	var m mark
	err = p.board.read(ctx, func(ctx context.Context) error {
		m, err = readMark(ctx, p.db, id)
		return err
	})
	count(p.board.readsTotal, err)
	if errors.Is(err, ErrNotFound) {
		err = errors.Join(polling.ErrNotFound, err)
	}
	if err != nil {
		return v, err
	}
	state, keep := stateOf(m.state), p.board.pool.Retention()
	return polling.Version{
		Tag:   fmt.Sprint(id, m.state, m.runAt.UnixNano(), m.rest, keep),
		Weak:  true, // it is read before the status, which may be newer
		Final: state.Final(),
		Retry: pollIn(state, m.runAt, time.Now()),
	}, nil
}

// Load implements [polling.Source].
func (p polled) Load(ctx context.Context, key string) (polling.Version, any, error) {
	v, err := p.Version(ctx, key)
	if err != nil {
		return v, nil, err
	}
	id, err := parseID(key)
	if err != nil {
		return v, nil, err
	}
	s, err := p.board.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		err = errors.Join(polling.ErrNotFound, err)
	}
	return v, s, err
}
