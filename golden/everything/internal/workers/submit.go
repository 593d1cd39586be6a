package workers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"example.com/orders/internal/database"
	"example.com/orders/internal/httpapi"
)

// A Request is what may be asked for over HTTP: the args of one kind of jobs as
// the caller gives them. Validate tells the caller what is wrong with them.
type Request interface{ Validate() error }

// An acceptor reads and checks a caller's args, and returns what is to be done
// in the transaction that enqueues the job.
type acceptor func(args json.RawMessage) (prepare, error)

type prepare func(context.Context, database.Tx) (river.JobArgs, error)

// Accept lets callers of POST /jobs ask for jobs of the kind. The function gets
// the caller's valid args, writes what belongs to the job within tx, and returns
// the job; the transaction commits both or neither. It must use tx alone. An
// error that is an [httpapi.Problem] is told to the caller.
func Accept[T Request](p *Pool, kind string, fn func(ctx context.Context, tx database.Tx, request T) (river.JobArgs, error)) {
	p.accepts[kind] = func(args json.RawMessage) (prepare, error) {
		request, err := decodeArgs[T](args)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, tx database.Tx) (river.JobArgs, error) {
			return fn(ctx, tx, request)
		}, nil
	}
}

func decodeArgs[T Request](args json.RawMessage) (T, error) {
	var request T
	if len(args) == 0 {
		args = json.RawMessage("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(args))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&request); err != nil {
		return request, httpapi.NewProblem(http.StatusUnprocessableEntity, "args"+decodeDetail(err))
	}
	if err := request.Validate(); err != nil {
		return request, httpapi.NewProblem(http.StatusUnprocessableEntity, "args: "+err.Error())
	}
	if hasZero(args) {
		return request, httpapi.NewProblem(http.StatusUnprocessableEntity, "args: no text may have a zero byte (\\u0000) in it.")
	}
	return request, nil
}

// decodeDetail says what is wrong with args, in the caller's terms rather than
// those of the code.
func decodeDetail(err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Sprintf(".%s: a JSON %s can't stand here.", wrongType.Field, wrongType.Value)
	case errors.As(err, &wrongType):
		return fmt.Sprintf(": a JSON %s can't stand here.", wrongType.Value)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return ": " + strings.TrimPrefix(err.Error(), "json: ")
	}
	return ": could not be read."
}

// hasZero reports whether a text in args has a zero byte, which a database may
// refuse.
func hasZero(args json.RawMessage) bool {
	if !bytes.Contains(args, []byte(`\u0000`)) {
		return false
	}
	for dec := json.NewDecoder(bytes.NewReader(args)); ; {
		token, err := dec.Token()
		if err != nil {
			return false // the end
		}
		if s, ok := token.(string); ok && strings.ContainsRune(s, 0) {
			return true
		}
	}
}

// A submission is the body of POST /jobs.
type submission struct {
	// Kind is one of those that [Accept] named.
	Kind string `json:"kind"`
	// Args are what that kind takes.
	Args json.RawMessage `json:"args"`
	// RunAt is when the job is to run, RFC 3339; now, where it is missing or past.
	RunAt *runAt `json:"run_at,omitempty"`
}

// A runAt is a time whose faults are told by the field's name.
type runAt struct{ time.Time }

// UnmarshalJSON implements [json.Unmarshaler].
func (at *runAt) UnmarshalJSON(text []byte) error {
	if err := at.Time.UnmarshalJSON(text); err != nil {
		return httpapi.NewProblem(http.StatusBadRequest, "run_at: must be an RFC 3339 time, such as 2030-01-31T12:00:00Z.")
	}
	return nil
}

// An accepted job is the body of the answer.
type accepted struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
}

const (
	maxKeyLength  = 255
	fullRetry     = 10 * time.Second
	databaseRetry = 2 * time.Second
)

// Submit answers POST /jobs: 202 with the id of a job that is enqueued for good,
// and with its place in Location. A request that bears the Idempotency-Key of
// an earlier one is answered as that was, and enqueues nothing.
func (p *Pool) Submit(w http.ResponseWriter, r *http.Request) error {
	s, err := httpapi.DecodeJSON[submission](r)
	if err != nil {
		return err
	}
	accept, ok := p.accepts[s.Kind]
	if !ok {
		return httpapi.NewProblem(http.StatusUnprocessableEntity,
			fmt.Sprintf("kind: %q is none of %s.", s.Kind, strings.Join(slices.Sorted(maps.Keys(p.accepts)), ", ")))
	}
	prepare, err := accept(s.Args)
	if err != nil {
		return err
	}
	if err := p.checkRunAt(s.RunAt, time.Now()); err != nil {
		return err
	}
	if len(r.Header.Values("Idempotency-Key")) > 1 {
		return httpapi.NewProblem(http.StatusBadRequest, "There is more than one Idempotency-Key; send one.")
	}
	key := r.Header.Get("Idempotency-Key")
	if !validKey(key) {
		return httpapi.NewProblem(http.StatusBadRequest, fmt.Sprintf("The Idempotency-Key must be printable ASCII, and at most %d bytes.", maxKeyLength))
	}
	if key == "" { // or the answer may be known
		if err := p.checkDepth(s.Kind); err != nil {
			return err
		}
	}
	id, replayed, err := p.enqueueOnce(r.Context(), key, s, prepare)
	if err != nil {
		return unavailable(err)
	}
	if replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	w.Header().Set("Location", "/jobs/"+id)
	httpapi.WriteJSON(w, r, http.StatusAccepted, accepted{ID: id, Kind: s.Kind})
	return nil
}

func validKey(key string) bool {
	return len(key) <= maxKeyLength && !strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' })
}

// checkRunAt refuses times that nobody means, and that a database or JSON may not
// be able to tell.
func (p *Pool) checkRunAt(at *runAt, now time.Time) error {
	if at == nil || at.Unix() >= 0 && !at.After(now.Add(p.config.MaxDelay)) {
		return nil
	}
	return httpapi.NewProblem(http.StatusUnprocessableEntity, fmt.Sprintf("run_at: must be from 1970 to %s.", now.Add(p.config.MaxDelay).UTC().Format(time.RFC3339)))
}

func (p *Pool) checkDepth(kind string) error {
	if p.depth.waiting(kind) < p.config.MaxDepth {
		return nil
	}
	problem := httpapi.NewProblem(http.StatusServiceUnavailable, fmt.Sprintf("Too many %s jobs wait already; try again later.", kind))
	problem.RetryAfter = fullRetry
	return problem
}

// unavailable is the problem of a job that could not be enqueued for now: not
// the caller's doing, and worth another try. Other errors stay what they are.
func unavailable(err error) error {
	var problem *httpapi.Problem
	if errors.As(err, &problem) || !database.IsOutage(err) && !errors.Is(err, errNotStarted) {
		return err
	}
	problem = httpapi.NewProblem(http.StatusServiceUnavailable, "The job could not be enqueued; try again later, with the same Idempotency-Key.")
	problem.RetryAfter = databaseRetry
	return errors.Join(problem, err)
}

// enqueueOnce enqueues the job with what belongs to it, unless the key has been
// seen before. It returns the job's id.
func (p *Pool) enqueueOnce(ctx context.Context, key string, s submission, prepare prepare) (id string, replayed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.EnqueueTimeout)
	defer cancel()
	hash, err := s.hash()
	if err != nil {
		return "", false, err
	}
	opts := &river.InsertOpts{}
	if s.RunAt != nil && s.RunAt.After(time.Now()) { // none gets before others by a time that has passed
		opts.ScheduledAt = s.RunAt.Time
	}
	var jobID int64
	err = database.InTx(ctx, p.db, func(tx database.Tx) error {
		if key != "" {
			now := time.Now()
			first, err := claimKey(ctx, tx, key, hash, now, now.Add(p.config.KeyTTL))
			if err != nil {
				return err
			}
			if first != nil {
				jobID, replayed = first.jobID, true
				return first.match(hash)
			}
			if err := p.checkDepth(s.Kind); err != nil {
				return err
			}
		}
		args, err := prepare(ctx, tx)
		if err != nil {
			return err
		}
		result, err := p.EnqueueTx(ctx, tx, args, opts)
		if err != nil {
			return err
		}
		jobID = result.Job.ID
		if key == "" {
			return nil
		}
		return setKeyJob(ctx, tx, key, jobID)
	})
	return strconv.FormatInt(jobID, 10), replayed, err
}

// hash returns what tells whether two submissions ask for the same. White space
// does not count.
func (s submission) hash() ([]byte, error) {
	canonical, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("hash the request: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return sum[:], nil
}

func (r *keyRecord) match(hash []byte) error {
	if bytes.Equal(r.requestHash, hash) {
		return nil
	}
	return httpapi.NewProblem(http.StatusUnprocessableEntity, "This Idempotency-Key was used for another request; use a new one.")
}
