package progress

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/riverqueue/river/rivertype"

	"example.com/orders/internal/httpapi"
)

var (
	// ErrNotFound means that there is no such job, or none any more.
	ErrNotFound = errors.New("there is no such job, or its retention has ended")
	// ErrBusy means that a read had to wait too long for its turn.
	ErrBusy = errors.New("too many reads of progress")
)

// A State is where a job stands.
type State string

// The states of a job. The last three are final.
const (
	Waiting   State = "waiting" // for its time or for a worker, also for another attempt
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed" // for good
	Cancelled State = "cancelled"
)

func stateOf(s rivertype.JobState) State {
	switch s {
	case rivertype.JobStateRunning:
		return Running
	case rivertype.JobStateCompleted:
		return Succeeded
	case rivertype.JobStateDiscarded:
		return Failed
	case rivertype.JobStateCancelled:
		return Cancelled
	case rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateScheduled:
	}
	return Waiting
}

// A Progress is what callers see of a job's progress.
type Progress struct {
	Update

	State State `json:"state"`
	// Ended says that the state is final.
	Ended bool `json:"ended"`
	// Streams are what clients can get at the same address: "events" for an
	// EventSource, "socket" for a WebSocket.
	Streams []string `json:"streams"`

	due time.Time
}

// Get returns the job's progress, [ErrNotFound] or [ErrBusy]. A job that has not
// reported in its last attempt has done nothing in it yet.
func (t *Tracker) Get(ctx context.Context, id int64) (p Progress, err error) {
	defer func() { t.countRead(err) }()
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, t.config.ReadTimeout)
	defer cancel()
	select {
	case t.reads <- struct{}{}:
		defer func() { <-t.reads }()
	case <-ctx.Done():
		return Progress{}, cmp.Or(caller.Err(), ErrBusy)
	}
	row, err := readRow(ctx, t.db, id)
	if err != nil {
		if ctx.Err() != nil { // which a driver may have put in its own words
			err = errors.Join(ctx.Err(), err)
		}
		return Progress{}, err
	}
	return t.newProgress(id, row), nil
}

func (t *Tracker) countRead(err error) {
	result := "error"
	switch {
	case err == nil:
		result = "ok"
	case errors.Is(err, ErrNotFound):
		result = "not_found"
	case errors.Is(err, ErrBusy):
		result = "busy"
	}
	t.metrics.reads.WithLabelValues(result).Inc()
}

// A row is what the database has of a job and of its progress.
type row struct {
	state rivertype.JobState
	takes int64 // see takes
	due   time.Time
	// update is nil where nothing was reported.
	update *Update
}

func (t *Tracker) newProgress(id int64, r row) Progress {
	p := Progress{
		Update:  Update{Job: id, Attempt: r.takes},
		State:   stateOf(r.state),
		Streams: t.names,
		due:     r.due,
	}
	p.Ended = p.State != Waiting && p.State != Running
	if r.update != nil && r.update.Attempt >= r.takes {
		p.Update = *r.update
	}
	return p
}

const (
	// How soon to ask again for a job that has not ended.
	minPoll = time.Second
	maxPoll = time.Minute
)

func (p Progress) pollIn(now time.Time) time.Duration {
	if p.State == Waiting {
		return min(max(p.due.Sub(now), minPoll), maxPoll)
	}
	return minPoll
}

// ServeProgress answers GET /jobs/{id}/progress: with a [Stream] where the request
// is for one, or with 304 where the caller has what there is. Retry-After says
// when to ask again.
func (t *Tracker) ServeProgress(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != r.PathValue("id") { // no other form
		return problem(r, ErrNotFound)
	}
	p, err := t.Get(r.Context(), id)
	if err != nil {
		return problem(r, err)
	}
	w.Header().Set("Vary", "Accept")
	for _, s := range t.streams {
		if s.Wants(r) {
			return s.Serve(w, r, id)
		}
	}
	return serve(w, r, p)
}

func serve(w http.ResponseWriter, r *http.Request, p Progress) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the progress: %w", err)
	}
	sum := sha256.Sum256(body)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	if !p.Ended {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.pollIn(time.Now()).Seconds()))))
	}
	r = r.Clone(r.Context())
	r.Header.Del("Range") // a part of it is of no use
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(append(body, '\n')))
	return nil
}

// problem is what callers are told of an error.
func problem(r *http.Request, err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return httpapi.NewProblem(http.StatusNotFound, fmt.Sprintf("There is no job %q, or its retention has ended.", r.PathValue("id")))
	case errors.Is(err, ErrBusy):
		p := httpapi.NewProblem(http.StatusServiceUnavailable, "Too many ask for progress; try again later.")
		p.RetryAfter = minPoll
		return errors.Join(p, err)
	}
	return err
}
