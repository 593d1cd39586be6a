package retries

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// gaveUpKey is the key in a job's metadata under which stands why the job was
// given up. Others may read it.
const gaveUpKey = "gave_up"

// Why a job was given up.
const (
	gaveUpPermanent = "permanent" // its error was marked so
	gaveUpAttempts  = "attempts"  // it had all its attempts
	gaveUpAge       = "age"       // it was too old for another
)

// next is what comes after a failure that is tried again.
const next = "retry"

// Expect lets the counters of these kinds of jobs begin at 0: a rate does not see the
// first of what is not there before it.
func (r *Retries) Expect(kinds ...string) {
	for _, kind := range kinds {
		r.metrics.jobDeferrals.WithLabelValues(kind)
		for _, what := range []string{next, gaveUpPermanent, gaveUpAttempts, gaveUpAge} {
			r.metrics.jobFailures.WithLabelValues(kind, what)
		}
	}
}

// NextRetry implements [river.ClientRetryPolicy]: it returns when a job whose
// attempt has just failed is tried again.
func (r *Retries) NextRetry(job *rivertype.JobRow) time.Time {
	return time.Now().Add(r.policy(job.Kind).Delay(job.Attempt, r.random()))
}

// Middleware returns the job engine's middleware that judges each attempt. A
// job that is given up has the state 'discarded' and stays with its errors for
// as long as the engine keeps such jobs.
//
// A retry that its kind's [Budget] can't pay for is not made and not lost: the
// job is put off by half to all of its policy's MaxDelay, without its attempt
// being counted. When its MaxAge is over that way, it is given up.
func (r *Retries) Middleware() rivertype.WorkerMiddleware {
	return river.WorkerMiddlewareFunc(r.work)
}

func (r *Retries) work(ctx context.Context, job *rivertype.JobRow, attempt func(context.Context) error) error {
	policy := r.policy(job.Kind)
	budget := r.kinds.of(job.Kind)
	if len(job.Errors) == 0 && job.Attempt <= 1 {
		budget.First()
	} else if !budget.Retry() {
		if policy.tooOld(job) {
			r.giveUp(ctx, job, gaveUpAge)
			return fmt.Errorf("given up after %s: the retry budget of %q was spent each time it was this job's turn", policy.MaxAge, job.Kind)
		}
		r.metrics.jobDeferrals.WithLabelValues(job.Kind).Inc()
		return river.JobSnooze(time.Duration((1 + r.random()) / 2 * float64(policy.MaxDelay)))
	}

	// A panic passes through here on its way to the engine, which records it
	// with its stack: it is judged, and not recovered.
	judged := false
	defer func() {
		if !judged {
			r.judge(ctx, job, policy, errPanic)
		}
	}()
	err := attempt(ctx)
	judged = true
	if err != nil && !isVerdict(ctx, err) {
		r.judge(ctx, job, policy, err)
	}
	return err
}

var errPanic = errors.New("panic")

// isVerdict reports whether err is no failure but what the job, a user or the
// shutdown wants to become of the job.
func isVerdict(ctx context.Context, err error) bool {
	return errors.Is(err, &rivertype.JobSnoozeError{}) || errors.Is(err, &rivertype.JobCancelError{}) ||
		ctx.Err() != nil // the attempt's own timeout is below this context
}

// judge decides what comes after a failed attempt.
func (r *Retries) judge(ctx context.Context, job *rivertype.JobRow, policy Policy, err error) {
	switch {
	case IsPermanent(err):
		r.giveUp(ctx, job, gaveUpPermanent)
	case job.Attempt >= min(policy.MaxAttempts, job.MaxAttempts):
		r.giveUp(ctx, job, gaveUpAttempts)
	case policy.tooOld(job):
		r.giveUp(ctx, job, gaveUpAge)
	default:
		r.metrics.jobFailures.WithLabelValues(job.Kind, next).Inc()
	}
}

// giveUp makes this attempt the job's last. The engine compares the row that it
// works with, which is this one, when it records the failure; so the error and
// the final state are written by one statement, and a crash before it leaves
// the job as any other whose worker died. What the database has as the job's
// number of attempts stays, for when the job is revived.
func (r *Retries) giveUp(ctx context.Context, job *rivertype.JobRow, why string) {
	r.metrics.jobFailures.WithLabelValues(job.Kind, why).Inc()
	job.MaxAttempts = job.Attempt
	// It fails outside of a job alone, and this is the job's own middleware.
	_ = river.MetadataSet(ctx, gaveUpKey, why)
}

// tooOld reports whether the job had its time, which begins with its first failure:
// a job that was to run later, or waited long for a worker, has all of it. A job that
// was given up before, here or by the engine, which does so when a worker died in its
// last attempt, has been revived by hand since, and that counts for more.
func (p Policy) tooOld(job *rivertype.JobRow) bool {
	revived := gaveUp(job) != "" || job.Attempt > p.MaxAttempts
	return p.MaxAge > 0 && len(job.Errors) > 0 && time.Since(job.Errors[0].At) > p.MaxAge && !revived
}

// gaveUp returns why the job was given up when that last happened, or "".
func gaveUp(job *rivertype.JobRow) string {
	metadata := struct {
		GaveUp string `json:"gave_up"`
	}{}
	if err := json.Unmarshal(job.Metadata, &metadata); err != nil {
		return "" // not written by giveUp
	}
	return metadata.GaveUp
}
