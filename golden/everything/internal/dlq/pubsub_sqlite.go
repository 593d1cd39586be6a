package dlq

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"example.com/orders/internal/database"
)

// letterTable is the table dead_letters.
type letterTable struct{ db *database.Pool }

const burySQL = `
	INSERT INTO dead_letters (consumer, stream_seq, stored_at, topic, message_id, type, data, attempts, error, stack, died_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (consumer, stream_seq, stored_at) DO NOTHING
	RETURNING id`

func (t letterTable) bury(ctx context.Context, l streamLetter) (key int64, fresh bool, err error) {
	data := l.message.Data
	if data == nil {
		data = []byte{}
	}
	err = t.db.QueryRowContext(ctx, burySQL, l.group, seqOf(l.message), l.message.Time.UnixNano(),
		l.message.Topic, printable(l.message.ID), printable(l.message.Type), data,
		l.attempts, l.cause, l.stack, l.diedAt.UnixMicro()).Scan(&key)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return key, err == nil, err
}

const buriedSQL = `SELECT EXISTS (SELECT 1 FROM dead_letters WHERE consumer = ? AND stream_seq = ? AND stored_at = ?)`

func (t letterTable) buried(ctx context.Context, group string, seq int64, storedAt time.Time) (is bool, err error) {
	err = t.db.QueryRowContext(ctx, buriedSQL, group, seq, storedAt.UnixNano()).Scan(&is)
	return is, err
}

const getLetterSQL = `
	SELECT id, consumer, stream_seq, stored_at, topic, message_id, type, data, attempts, error, stack, died_at, state
	FROM dead_letters WHERE id = ?`

func (t letterTable) get(ctx context.Context, key int64) (l streamLetter, state string, err error) {
	var storedAt, diedAt int64
	m := &l.message
	err = t.db.QueryRowContext(ctx, getLetterSQL, key).Scan(&l.key, &l.group, &m.Seq, &storedAt,
		&m.Topic, &m.ID, &m.Type, &m.Data, &l.attempts, &l.cause, &l.stack, &diedAt, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return l, "", ErrNotFound
	}
	m.Time, l.diedAt = time.Unix(0, storedAt).UTC(), time.UnixMicro(diedAt).UTC()
	return l, state, err
}

const (
	listLettersSQL = `
	SELECT id, consumer, stored_at, attempts, error, died_at
	FROM dead_letters
	WHERE state = 'dead' AND (?1 = '' OR consumer = ?1) AND `
	newestFirstSQL = listLettersSQL + `(died_at, id) < (?2, ?3) ORDER BY died_at DESC, id DESC LIMIT ?4`
	oldestFirstSQL = listLettersSQL + `(died_at, id) > (?2, ?3) ORDER BY died_at, id LIMIT ?4`
)

func (t letterTable) list(ctx context.Context, query Query) (letters []streamLetter, err error) {
	statement, diedAt, key := newestFirstSQL, int64(math.MaxInt64), int64(math.MaxInt64)
	if query.OldestFirst {
		statement, diedAt, key = oldestFirstSQL, 0, 0
	}
	if p := query.After; p != nil {
		diedAt, key = p.DiedAt.UnixMicro(), p.Key
	}
	rows, err := t.db.QueryContext(ctx, statement, query.Kind, diedAt, key, query.Limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
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
	if err := t.db.QueryRowContext(ctx, countLettersSQL).Scan(&n, &diedAt); err != nil {
		return 0, time.Time{}, fmt.Errorf("count dead messages: %w", err)
	}
	return n, time.UnixMicro(diedAt), nil
}

const moveSQL = `
	UPDATE dead_letters SET state = ?1, data = CASE WHEN ?1 IN ('done', 'discarded') THEN x'' ELSE data END
	WHERE id = ?2 AND state = ?3`

func (t letterTable) move(ctx context.Context, tx database.Tx, key int64, from, to string) (bool, error) {
	result, err := tx.ExecContext(ctx, moveSQL, to, key, from)
	if err != nil {
		return false, fmt.Errorf("dead message %d: %w", key, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

const dieAgainSQL = `
	UPDATE dead_letters SET state = 'dead', attempts = attempts + 1, error = ?, stack = ?, died_at = ?
	WHERE id = ? AND state = 'requeued'`

func (t letterTable) dieAgain(ctx context.Context, key int64, cause, stack string, at time.Time) error {
	_, err := t.db.ExecContext(ctx, dieAgainSQL, cause, stack, at.UnixMicro(), key)
	return err
}

const strandedSQL = `
	SELECT id, consumer FROM dead_letters
	WHERE state = 'requeued' AND NOT EXISTS (
		SELECT 1 FROM river_job
		WHERE kind = 'dlq_redelivery' AND args ->> 'letter' = dead_letters.id
			AND state IN ('available', 'pending', 'retryable', 'running', 'scheduled'))
	LIMIT ?`

func (t letterTable) stranded(ctx context.Context, limit int) (letters []streamLetter, err error) {
	rows, err := t.db.QueryContext(ctx, strandedSQL, limit)
	if err != nil {
		return nil, fmt.Errorf("stranded letters: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var l streamLetter
		if err := rows.Scan(&l.key, &l.group); err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		letters = append(letters, l)
	}
	return letters, rows.Err()
}

const purgeSQL = `
	DELETE FROM dead_letters WHERE id IN (
		SELECT id FROM dead_letters
		WHERE state = 'dead' AND died_at < ? OR state IN ('done', 'discarded') AND died_at < ?
		LIMIT ?)`

func (t letterTable) purge(ctx context.Context, dead, dealtWith time.Time, limit int) (int, error) {
	result, err := t.db.ExecContext(ctx, purgeSQL, dead.UnixMicro(), dealtWith.UnixMicro(), limit)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
