package jobstatus

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river/rivertype"

	"example.com/orders/internal/workers"
)

// A State is where a job stands, in callers' words.
type State string

// The states of a job. Succeeded, Failed and Cancelled are final.
const (
	Scheduled  State = "scheduled"  // will be queued at its time
	Queued     State = "queued"     // waits for a worker
	Running    State = "running"    // a worker is at it
	Cancelling State = "cancelling" // a worker is at it, and has been told to stop
	Retrying   State = "retrying"   // has failed, and will be queued again at its time
	Succeeded  State = "succeeded"
	Failed     State = "failed" // has failed for good
	Cancelled  State = "cancelled"
)

// States returns all states, in the order in which a job can reach them.
func States() []State {
	return []State{Scheduled, Queued, Running, Cancelling, Retrying, Succeeded, Failed, Cancelled}
}

// Final reports whether a job stays in the state.
func (s State) Final() bool {
	return s == Succeeded || s == Failed || s == Cancelled
}

// jobStates returns the pool's states that make up the state. There is none for
// Cancelling: it is a mark on a job that runs.
func (s State) jobStates() []rivertype.JobState {
	switch s {
	case Scheduled:
		return []rivertype.JobState{rivertype.JobStateScheduled}
	case Queued:
		return []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending}
	case Running:
		return []rivertype.JobState{rivertype.JobStateRunning}
	case Retrying:
		return []rivertype.JobState{rivertype.JobStateRetryable}
	case Succeeded:
		return []rivertype.JobState{rivertype.JobStateCompleted}
	case Failed:
		return []rivertype.JobState{rivertype.JobStateDiscarded}
	case Cancelled:
		return []rivertype.JobState{rivertype.JobStateCancelled}
	}
	return nil
}

// stateOf returns the state of a job that has not been told to stop.
func stateOf(job rivertype.JobState) (s State) {
	for _, state := range States() {
		if slices.Contains(state.jobStates(), job) {
			s = state
		}
	}
	return s
}

// A Status is what callers see of a job. Its arguments are not shown.
type Status struct {
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	State       State  `json:"state"`
	Attempts    int    `json:"attempts"`
	MaxAttempts int    `json:"max_attempts"`

	CreatedAt time.Time `json:"created_at"`
	// RunAt is when a job that has not ended is or was due.
	RunAt *time.Time `json:"run_at,omitempty"`
	// StartedAt is when the last attempt began.
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	// ExpiresAt is until when a job that has ended can be read. It is missing
	// where such jobs are kept for ever.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`

	// Result is what the job recorded with river.RecordOutput.
	Result json.RawMessage `json:"result,omitempty"`
	// Error is why the last attempt failed, if it did.
	Error *Error          `json:"error,omitempty"`
	Links map[string]Link `json:"links"`
}

// An Error is why an attempt failed, in the words of the job's code.
type Error struct {
	Message string    `json:"message"`
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
}

// A Link is something that can be done with a job.
type Link struct {
	Href   string `json:"href"`
	Method string `json:"method"`
}

// newStatus returns what callers see of the job, with or without its result.
func newStatus(job *rivertype.JobRow, retention workers.Retention, withResult bool) Status {
	var metadata struct {
		CancelAttemptedAt *time.Time      `json:"cancel_attempted_at"`
		Output            json.RawMessage `json:"output"`
	}
	// Metadata is written by River. What can't be read is not shown.
	_ = json.Unmarshal(job.Metadata, &metadata)

	id := strconv.FormatInt(job.ID, 10)
	s := Status{
		ID:          id,
		Kind:        job.Kind,
		Attempts:    job.Attempt,
		MaxAttempts: job.MaxAttempts,
		CreatedAt:   job.CreatedAt.UTC(),
		StartedAt:   utc(job.AttemptedAt),
		FinishedAt:  utc(job.FinalizedAt),
		Links:       map[string]Link{"self": {"/jobs/" + id, "GET"}},
	}
	s.State = stateOf(job.State)
	if s.State == Running && metadata.CancelAttemptedAt != nil {
		s.State = Cancelling
	}
	if !s.State.Final() {
		s.RunAt = utc(&job.ScheduledAt)
		s.Links["cancel"] = Link{"/jobs/" + id + "/cancel", "POST"}
	}
	if keep := retentionOf(s.State, retention); job.FinalizedAt != nil && keep >= 0 {
		expires := job.FinalizedAt.UTC().Add(keep)
		s.ExpiresAt = &expires
	}
	if withResult {
		s.Result = metadata.Output
	}
	if n := len(job.Errors); n > 0 && s.State != Succeeded {
		s.Error = newError(job.Errors[n-1])
	}
	return s
}

func retentionOf(s State, r workers.Retention) time.Duration {
	switch s {
	case Failed:
		return r.Discarded
	case Cancelled:
		return r.Cancelled
	default:
		return r.Completed
	}
}

// newError leaves out the stack, and what a panic said: it was not meant for
// callers.
func newError(e rivertype.AttemptError) *Error {
	message := strings.TrimPrefix(e.Error, "JobCancelError: ")
	switch {
	case e.Trace != "":
		message = "the job crashed"
	case e.Error == rivertype.ErrJobCancelledRemotely.Error():
		message = "the job was cancelled"
	}
	return &Error{Message: message, Attempt: e.Attempt, At: e.At.UTC()}
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// newPage makes a page of up to limit jobs; there is one more where there is a
// next page.
func newPage(jobs []*rivertype.JobRow, limit int, retention workers.Retention) Page {
	page := Page{Jobs: make([]Status, 0, min(limit, len(jobs)))}
	for i, job := range jobs {
		if i == limit {
			page.Next = encodeCursor(jobs[i-1].ID)
			break
		}
		page.Jobs = append(page.Jobs, newStatus(job, retention, false))
	}
	return page
}
