package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// A Letter is something that failed for good.
type Letter struct {
	// ID is the source's name and the key: jobs-12.
	ID     string `json:"id"`
	Source string `json:"source"`
	Key    int64  `json:"-"`
	// Kind says what it was: the kind of job, or the stream's consumer.
	Kind string `json:"kind"`
	// Reason says why it was given up, where the source knows.
	Reason string `json:"reason,omitempty"`
	// Error is the last failure's.
	Error     string    `json:"error"`
	Attempts  int       `json:"attempts"`
	CreatedAt time.Time `json:"created_at"`
	DiedAt    time.Time `json:"died_at"`

	// A list has none of these.

	// Payload is what should have been worked on, where it is JSON, and Raw
	// where it isn't.
	Payload json.RawMessage `json:"payload,omitempty"`
	Raw     []byte          `json:"payload_base64,omitempty"`
	// Details are the source's own, such as a job's queue or a message's subject.
	Details  map[string]string `json:"details,omitempty"`
	Failures []Failure         `json:"failures,omitempty"`
}

// A Failure is what one attempt ended with.
type Failure struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Error   string    `json:"error"`
	// Stack is where it panicked, if it did.
	Stack string `json:"stack,omitempty"`
}

// Errors of a [Source] that a caller can do something about.
var (
	// ErrNotFound says that there never was such a letter, or is no more.
	ErrNotFound = errors.New("there is no such dead letter: it was discarded, its retention is over, or it never was")
	// ErrNotDead says that what it was about is no dead letter now.
	ErrNotDead = errors.New("it is no dead letter: it was requeued already, or never died")
	// ErrDuplicate says that the same work is queued again already.
	ErrDuplicate = errors.New("the same work is queued again already; discard this letter")
)

// A Source is a place where dead letters lie. Its methods return the errors
// above, wrapped or not. It is safe for concurrent use.
type Source interface {
	// Name is a word without a dash.
	Name() string
	// List returns letters in the query's order, without what lists leave out.
	List(context.Context, Query) ([]Letter, error)
	Get(ctx context.Context, key int64) (Letter, error)
	// Requeue has the letter's work done again. Of callers at once, one succeeds.
	Requeue(ctx context.Context, key int64) error
	// Discard deletes the letter.
	Discard(ctx context.Context, key int64) error
	// Count returns how many letters there are, and when the oldest died.
	Count(context.Context) (int, time.Time, error)
}

// A Query says which letters of a source are listed: the newest first, or the
// oldest. Letters that died at the same time are in the order of their keys.
type Query struct {
	Kind        string // "" for all
	Limit       int
	OldestFirst bool
	After       *Position // nil from the beginning
}

// A Position is a place in the order of letters.
type Position struct {
	DiedAt time.Time
	Key    int64
}
