package retries

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

func row(attempt int) *rivertype.JobRow {
	job := &rivertype.JobRow{ID: 1, Kind: "thumbnail", Attempt: attempt, MaxAttempts: 25, CreatedAt: time.Now()}
	for i := range attempt - 1 {
		job.Errors = append(job.Errors, rivertype.AttemptError{At: time.Now(), Attempt: i + 1, Error: "no"})
	}
	return job
}

func failedTwoHoursAgo(j *rivertype.JobRow) {
	*j = *row(2)
	j.Errors[0].At = time.Now().Add(-2 * time.Hour)
}

// last reports whether the engine would take the job's attempt for its last.
func last(job *rivertype.JobRow) bool { return job.Attempt >= job.MaxAttempts }

func TestJudgement(t *testing.T) {
	t.Parallel()
	transient := errors.New("connection refused")
	for name, tt := range map[string]struct {
		job  func(*rivertype.JobRow)
		err  error
		next string // "" for none
	}{
		"success":            {err: nil},
		"transient":          {err: transient, next: "retry"},
		"permanent":          {err: fmt.Errorf("wrapped: %w", Permanent(transient)), next: gaveUpPermanent},
		"the policy's last":  {job: func(j *rivertype.JobRow) { *j = *row(3) }, err: transient, next: gaveUpAttempts},
		"the job's own last": {job: func(j *rivertype.JobRow) { j.MaxAttempts = 1 }, err: transient, next: gaveUpAttempts},
		"too old":            {job: failedTwoHoursAgo, err: transient, next: gaveUpAge},
		"old, but never ran": {job: func(j *rivertype.JobRow) { j.CreatedAt = time.Now().Add(-2 * time.Hour) }, err: transient, next: "retry"},
		"old, but revived": {job: func(j *rivertype.JobRow) {
			failedTwoHoursAgo(j)
			j.Metadata = []byte(`{"gave_up":"permanent"}`)
		}, err: transient, next: "retry"},
		"snoozed by itself":   {err: river.JobSnooze(time.Hour)},
		"cancelled by itself": {err: river.JobCancel(transient)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRetries(t, defaults(t))
			r.SetPolicy("thumbnail", Policy{MaxAttempts: 3, MaxAge: time.Hour, BaseDelay: time.Second, MaxDelay: time.Minute})
			job := row(1)
			if tt.job != nil {
				tt.job(job)
			}
			err := r.work(t.Context(), job, func(context.Context) error { return tt.err })
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if want := tt.next != "" && tt.next != "retry"; last(job) != want {
				t.Errorf("the last attempt: %t, want %t", last(job), want)
			}
			for _, next := range []string{"retry", gaveUpPermanent, gaveUpAttempts, gaveUpAge} {
				want := 0.0
				if next == tt.next {
					want = 1
				}
				if got := testutil.ToFloat64(r.metrics.jobFailures.WithLabelValues("thumbnail", next)); got != want {
					t.Errorf("retries_job_failures_total{next=%q} is %g, want %g", next, got, want)
				}
			}
		})
	}
}

func TestPanicIsJudgedAndPassedOn(t *testing.T) {
	t.Parallel()
	r := newRetries(t, defaults(t))
	job := row(r.config.MaxAttempts)
	defer func() {
		if v := recover(); v != "oh" {
			t.Errorf("recovered %v, want the job's panic", v)
		}
		if !last(job) {
			t.Error("a panic in the last attempt does not end the job")
		}
	}()
	_ = r.work(t.Context(), job, func(context.Context) error { panic("oh") })
}

// errInterrupted is what a database's driver may say of a context that ends.
var errInterrupted = errors.New("interrupted (9)")

func TestShutdownIsNoFailure(t *testing.T) {
	t.Parallel()
	r := newRetries(t, defaults(t))
	ctx, cancel := context.WithCancel(t.Context())
	job := row(r.config.MaxAttempts)
	err := r.work(ctx, job, func(ctx context.Context) error {
		cancel()
		return errInterrupted
	})
	if !errors.Is(err, errInterrupted) || last(job) {
		t.Errorf("%v, last %t; want the job to go on after the restart", err, last(job))
	}
}

func TestNextRetryFollowsTheKindsPolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRetries(t, defaults(t))
		r.random = func() float64 { return 0.5 }
		r.SetPolicy("thumbnail", Policy{MaxAttempts: 9, BaseDelay: time.Minute, MaxDelay: time.Hour})
		for attempt, want := range map[int]time.Duration{1: 30 * time.Second, 2: time.Minute, 9: 30 * time.Minute} {
			if got := time.Until(r.NextRetry(row(attempt))); got != want {
				t.Errorf("after attempt %d: %s, want %s", attempt, got, want)
			}
		}
		other := row(1)
		other.Kind = "other"
		if got, want := time.Until(r.NextRetry(other)), r.config.BaseDelay/2; got != want {
			t.Errorf("without a policy: %s, want %s", got, want)
		}
	})
}

// A retry without budget is put off, its attempt isn't run, and once it is too
// old it ends with an error of its own.
func TestSpentBudgetPutsOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		config := defaults(t)
		config.BudgetBurst, config.BudgetPerSecond = 1, 0
		r := newRetries(t, config)
		ran := 0
		attempt := func(context.Context) error { ran++; return errors.New("down") }
		job := row(2)
		if err := r.work(t.Context(), job, attempt); errors.Is(err, &rivertype.JobSnoozeError{}) || ran != 1 {
			t.Fatalf("with budget: ran %d times, %v", ran, err)
		}
		err := r.work(t.Context(), job, attempt)
		var snooze *rivertype.JobSnoozeError
		if !errors.As(err, &snooze) || ran != 1 {
			t.Fatalf("without budget: ran %d times, %v", ran, err)
		}
		if snooze.Duration < config.MaxDelay/2 || snooze.Duration > config.MaxDelay {
			t.Errorf("put off by %s, want half to all of %s", snooze.Duration, config.MaxDelay)
		}
		if got := testutil.ToFloat64(r.metrics.jobDeferrals.WithLabelValues("thumbnail")); got != 1 {
			t.Errorf("retries_job_deferrals_total is %g, want 1", got)
		}
		if err := r.work(t.Context(), row(1), attempt); err == nil || ran != 2 {
			t.Errorf("a first attempt ran %d times, %v; it needs no budget", ran, err)
		}
		time.Sleep(config.MaxAge + 1)
		if err := r.work(t.Context(), job, attempt); err == nil || errors.As(err, &snooze) || !last(job) || ran != 2 {
			t.Errorf("too old: %v, last %t, ran %d times", err, last(job), ran)
		}
		// The engine gave this one up when its worker died in the last attempt.
		revived := row(config.MaxAttempts + 1)
		revived.MaxAttempts = revived.Attempt
		if err := r.work(t.Context(), revived, attempt); !errors.As(err, &snooze) || ran != 2 {
			t.Errorf("too old, and revived since: %v, want it put off", err)
		}
	})
}

// 1,000 jobs fail for ten minutes of a dead dependency: the calls that it gets
// stay near the first attempts where a budget is kept, and are many times that
// where it isn't.
func TestBudgetStopsAStormOfJobs(t *testing.T) {
	t.Parallel()
	with, without := storm(t, 0.1, 0), storm(t, 1, 1e6)
	t.Logf("calls for 1,000 jobs: %d with a budget of 10%%, %d without", with, without)
	if with > 1000+100+10 {
		t.Errorf("%d calls with a budget of 10%%, want at most 1,110", with)
	}
	if without < 3*with {
		t.Errorf("%d calls without a budget, want a storm: more than 3 times the %d with it", without, with)
	}
}

// storm returns how often 1,000 failing jobs call what they depend on within ten
// minutes.
func storm(t *testing.T, ratio, perSecond float64) (calls int) {
	synctest.Test(t, func(t *testing.T) {
		config := defaults(t)
		config.BudgetRatio, config.BudgetPerSecond = ratio, perSecond
		r := newRetries(t, config)
		due := make(map[*rivertype.JobRow]time.Time)
		for range 1000 {
			due[row(1)] = time.Now()
		}
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
			for job, at := range due {
				if at.After(time.Now()) {
					continue
				}
				err := r.work(t.Context(), job, func(context.Context) error { calls++; return errors.New("down") })
				var snooze *rivertype.JobSnoozeError
				switch {
				case errors.As(err, &snooze):
					due[job] = time.Now().Add(snooze.Duration)
				case last(job):
					delete(due, job)
				default:
					due[job] = r.NextRetry(job)
					job.Errors = append(job.Errors, rivertype.AttemptError{At: time.Now(), Attempt: job.Attempt})
					job.Attempt++
				}
			}
		}
	})
	return calls
}
