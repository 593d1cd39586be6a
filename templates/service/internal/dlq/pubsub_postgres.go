//go:build postgres

package dlq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
)

// letterTable is the table dead_letters.
type letterTable struct{ db *database.Pool }

const burySQL = `
	INSERT INTO dead_letters (consumer, stream_seq, stored_at, topic, message_id, type, data, attempts, error, stack, died_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
	ON CONFLICT (consumer, stream_seq, stored_at) DO NOTHING
	RETURNING id`

func (t letterTable) bury(ctx context.Context, l streamLetter) (key int64, fresh bool, err error) {
	data := l.message.Data
	if data == nil {
		data = []byte{}
	}
	err = t.db.QueryRow(ctx, burySQL, l.group, seqOf(l.message), l.message.Time.UnixNano(),
		l.message.Topic, printable(l.message.ID), printable(l.message.Type), data,
		l.attempts, l.cause, l.stack, l.diedAt.UnixMicro()).Scan(&key)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	return key, err == nil, err
}

const buriedSQL = `SELECT EXISTS (SELECT 1 FROM dead_letters WHERE consumer = $1 AND stream_seq = $2 AND stored_at = $3)`

func (t letterTable) buried(ctx context.Context, group string, seq int64, storedAt time.Time) (is bool, err error) {
	err = t.db.QueryRow(ctx, buriedSQL, group, seq, storedAt.UnixNano()).Scan(&is)
	return is, err
}

const getLetterSQL = `
	SELECT id, consumer, stream_seq, stored_at, topic, message_id, type, data, attempts, error, stack, died_at, state
	FROM dead_letters WHERE id = $1`

func (t letterTable) get(ctx context.Context, key int64) (l streamLetter, state string, err error) {
	var storedAt, diedAt int64
	m := &l.message
	err = t.db.QueryRow(ctx, getLetterSQL, key).Scan(&l.key, &l.group, &m.Seq, &storedAt,
		&m.Topic, &m.ID, &m.Type, &m.Data, &l.attempts, &l.cause, &l.stack, &diedAt, &state)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, "", ErrNotFound
	}
	m.Time, l.diedAt = time.Unix(0, storedAt).UTC(), time.UnixMicro(diedAt).UTC()
	return l, state, err
}

const (
	listLettersSQL = `
	SELECT id, consumer, stored_at, attempts, error, died_at
	FROM dead_letters
	WHERE state = 'dead' AND ($1 = '' OR consumer = $1) AND `
	newestFirstSQL = listLettersSQL + `(died_at, id) < ($2, $3) ORDER BY died_at DESC, id DESC LIMIT $4`
	oldestFirstSQL = listLettersSQL + `(died_at, id) > ($2, $3) ORDER BY died_at, id LIMIT $4`
)

func (t letterTable) list(ctx context.Context, query Query) ([]streamLetter, error) {
	statement, diedAt, key := newestFirstSQL, int64(math.MaxInt64), int64(math.MaxInt64)
	if query.OldestFirst {
		statement, diedAt, key = oldestFirstSQL, 0, 0
	}
	if p := query.After; p != nil {
		diedAt, key = p.DiedAt.UnixMicro(), p.Key
	}
	rows, err := t.db.Query(ctx, statement, query.Kind, diedAt, key, query.Limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var letters []streamLetter
	for rows.Next() {
		var (
			l                streamLetter
			storedAt, diedAt int64
		)
		if err := rows.Scan(&l.key, &l.group, &storedAt, &l.attempts, &l.cause, &diedAt); err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		l.message.Time, l.diedAt = time.Unix(0, storedAt).UTC(), time.UnixMicro(diedAt).UTC()
		letters = append(letters, l)
	}
	return letters, rows.Err()
}

const countLettersSQL = `SELECT count(*), coalesce(min(died_at), 0) FROM dead_letters WHERE state = 'dead'`

func (t letterTable) count(ctx context.Context) (n int, oldest time.Time, err error) {
	var diedAt int64
	if err := t.db.QueryRow(ctx, countLettersSQL).Scan(&n, &diedAt); err != nil {
		return 0, time.Time{}, fmt.Errorf("count dead messages: %w", err)
	}
	return n, time.UnixMicro(diedAt), nil
}

const moveSQL = `
	UPDATE dead_letters SET state = $1, data = CASE WHEN $1 IN ('done', 'discarded') THEN '' ELSE data END
	WHERE id = $2 AND state = $3`

func (t letterTable) move(ctx context.Context, tx database.Tx, key int64, from, to string) (bool, error) {
	result, err := tx.Exec(ctx, moveSQL, to, key, from)
	if err != nil {
		return false, fmt.Errorf("dead message %d: %w", key, err)
	}
	return result.RowsAffected() == 1, nil
}

const dieAgainSQL = `
	UPDATE dead_letters SET state = 'dead', attempts = attempts + 1, error = $1, stack = $2, died_at = $3
	WHERE id = $4 AND state = 'requeued'`

func (t letterTable) dieAgain(ctx context.Context, key int64, cause, stack string, at time.Time) error {
	_, err := t.db.Exec(ctx, dieAgainSQL, cause, stack, at.UnixMicro(), key)
	return err
}

const strandedSQL = `
	SELECT id, consumer FROM dead_letters
	WHERE state = 'requeued' AND NOT EXISTS (
		SELECT FROM river_job
		WHERE kind = 'dlq_redelivery' AND args ->> 'letter' = dead_letters.id::text
			AND state IN ('available', 'pending', 'retryable', 'running', 'scheduled'))
	LIMIT $1`

func (t letterTable) stranded(ctx context.Context, limit int) ([]streamLetter, error) {
	rows, err := t.db.Query(ctx, strandedSQL, limit)
	if err != nil {
		return nil, fmt.Errorf("stranded letters: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l streamLetter, err error) {
		err = row.Scan(&l.key, &l.group)
		return l, err
	})
}

const purgeSQL = `
	DELETE FROM dead_letters WHERE id IN (
		SELECT id FROM dead_letters
		WHERE state = 'dead' AND died_at < $1 OR state IN ('done', 'discarded') AND died_at < $2
		LIMIT $3)`

func (t letterTable) purge(ctx context.Context, dead, dealtWith time.Time, limit int) (int, error) {
	tag, err := t.db.Exec(ctx, purgeSQL, dead.UnixMicro(), dealtWith.UnixMicro(), limit)
	return int(tag.RowsAffected()), err
}
