package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/orders/internal/database"
)

// Jobs is the source of the jobs that failed for good. They are not moved
// anywhere: a job that has used its attempts is 'discarded' in the job engine's
// own table, with its arguments and each attempt's error and stack. So there is
// no moment at which a crash could lose or double one.
type Jobs struct {
	db     *database.Pool
	client func() *river.Client[database.Tx]
	buffer int
}

// watchBuffer is how many failed attempts may wait for [Jobs.Watch]. The engine
// tells of up to 5,000 at once.
const watchBuffer = 10_000

// NewJobs returns the source of dead jobs. client returns the job engine's
// client, and is called when the engine has started.
func NewJobs(db *database.Pool, client func() *river.Client[database.Tx]) *Jobs {
	return &Jobs{db: db, client: client, buffer: watchBuffer}
}

// JobRetention returns how long the job engine has to keep dead jobs, in its own
// terms.
func JobRetention(config Config) time.Duration {
	if config.Retention == 0 {
		return -1 // for ever
	}
	return config.Retention
}

// Name implements [Source].
func (j *Jobs) Name() string { return "jobs" }

// List implements [Source].
func (j *Jobs) List(ctx context.Context, query Query) ([]Letter, error) {
	order := river.SortOrderDesc
	if query.OldestFirst {
		order = river.SortOrderAsc
	}
	params := river.NewJobListParams().
		States(rivertype.JobStateDiscarded).
		OrderBy(river.JobListOrderByFinalizedAt, order).
		First(query.Limit)
	if query.Kind != "" {
		params = params.Kinds(query.Kind)
	}
	if query.After != nil {
		params = params.After(river.JobListCursorFromJob(&rivertype.JobRow{
			ID:          query.After.Key,
			State:       rivertype.JobStateDiscarded,
			FinalizedAt: &query.After.DiedAt,
		}))
	}
	result, err := j.client().JobList(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("list dead jobs: %w", err)
	}
	letters := make([]Letter, 0, len(result.Jobs))
	for _, job := range result.Jobs {
		letters = append(letters, j.letter(job))
	}
	return letters, nil
}

// letter returns a dead job's letter as a list has it.
func (j *Jobs) letter(job *rivertype.JobRow) Letter {
	l := Letter{
		ID:        letterID(j.Name(), job.ID),
		Source:    j.Name(),
		Key:       job.ID,
		Kind:      job.Kind,
		Reason:    reason(job),
		Attempts:  job.Attempt,
		CreatedAt: job.CreatedAt,
	}
	if job.FinalizedAt != nil {
		l.DiedAt = *job.FinalizedAt
	}
	if n := len(job.Errors); n > 0 {
		l.Error = job.Errors[n-1].Error
	}
	return l
}

// reason returns why the job was given up, where what did so has noted it as
// gave_up in the job's metadata.
func reason(job *rivertype.JobRow) string {
	metadata := struct {
		GaveUp string `json:"gave_up"`
	}{}
	if err := json.Unmarshal(job.Metadata, &metadata); err != nil {
		return "" // somebody else's, who has another meaning for it
	}
	return metadata.GaveUp
}

// Get implements [Source].
func (j *Jobs) Get(ctx context.Context, key int64) (Letter, error) {
	job, err := j.client().JobGet(ctx, key)
	if errors.Is(err, rivertype.ErrNotFound) {
		return Letter{}, ErrNotFound
	}
	if err != nil {
		return Letter{}, fmt.Errorf("dead job %d: %w", key, err)
	}
	if job.State != rivertype.JobStateDiscarded {
		return Letter{}, ErrNotDead
	}
	l := j.letter(job)
	l.Payload = job.EncodedArgs
	l.Details = map[string]string{"queue": job.Queue}
	for _, e := range job.Errors {
		l.Failures = append(l.Failures, Failure{At: e.At, Attempt: e.Attempt, Error: e.Error, Stack: e.Trace})
	}
	return l, nil
}

// Requeue implements [Source]. The job runs again with the attempts that it has
// left, and with one where it has none.
func (j *Jobs) Requeue(ctx context.Context, key int64) error {
	return j.ifDead(ctx, key, func(tx database.Tx) error {
		_, err := j.client().JobRetryTx(ctx, tx, key)
		if err != nil && isDuplicate(err) {
			return ErrDuplicate
		}
		return err
	})
}

// Discard implements [Source].
func (j *Jobs) Discard(ctx context.Context, key int64) error {
	return j.ifDead(ctx, key, func(tx database.Tx) error {
		_, err := j.client().JobDeleteTx(ctx, tx, key)
		return err
	})
}

// ifDead calls do in a transaction in which the job is dead and stays so. The
// engine itself would make a job run again in whatever state it is, even when it
// has succeeded meanwhile.
func (j *Jobs) ifDead(ctx context.Context, key int64, do func(database.Tx) error) error {
	return database.InTx(ctx, j.db, func(tx database.Tx) error {
		state, err := lockJob(ctx, tx, key)
		if err != nil {
			return fmt.Errorf("dead job %d: %w", key, err)
		}
		switch state {
		case "":
			return ErrNotFound
		case string(rivertype.JobStateDiscarded):
			return do(tx)
		default:
			return ErrNotDead
		}
	})
}

// Count implements [Source].
func (j *Jobs) Count(ctx context.Context) (int, time.Time, error) {
	return countDeadJobs(ctx, j.db)
}

// Watch tells the queue of each job that dies in this process, until ctx is
// done. The engine doesn't wait for it: of failures that come faster than they
// can be told for longer than the buffer bears, some are not told, which is
// counted and logged. The letters are there all the same.
func (j *Jobs) Watch(ctx context.Context, queue *Queue) error {
	failures, cancel := j.client().SubscribeConfig(&river.SubscribeConfig{
		Kinds:    []river.EventKind{river.EventKindJobFailed},
		ChanSize: j.buffer,
	})
	defer cancel()
	for {
		if len(failures) == cap(failures) {
			queue.overrun(ctx, j.Name())
		}
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-failures:
			if !ok { // the engine has stopped
				<-ctx.Done()
				return nil
			}
			if event.Job.State == rivertype.JobStateDiscarded {
				l := j.letter(event.Job)
				queue.Died(ctx, l.Source, l.Kind, l.Key, l.Error)
			}
		}
	}
}
