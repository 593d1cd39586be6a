package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"example.com/orders/internal/database"
	"example.com/orders/internal/workers"
)

// An Inspection is the example of what is done with a file once it is there: a
// job looks at its first bytes, and says whether they are what the client said.
// It stands to be replaced by what your service does: thumbnails, a virus scan.
type Inspection struct {
	// Job is the job's id.
	Job int64
	// Status is queued until the job has run, then done, or failed where it
	// never succeeded.
	Status string
	// Detected is the media type that the bytes look like, as
	// [http.DetectContentType] finds it, without parameters.
	Detected string
	// Error is why it failed.
	Error     string
	UpdatedAt time.Time
}

const (
	inspectionQueued = "queued"
	inspectionDone   = "done"
	inspectionFailed = "failed"
)

// sniffed is how many bytes [http.DetectContentType] looks at.
const sniffed = 512

type inspectArgs struct {
	Upload string `json:"upload"`
}

// Kind implements [river.JobArgs].
func (inspectArgs) Kind() string { return "upload_inspect" }

// InspectWith has every upload inspected by a job of pool. The job is enqueued in
// the transaction that makes the upload ready: there is never one without the
// other. Call it before the service serves.
func (s *Uploads) InspectWith(pool *workers.Pool) {
	workers.Add(pool, &inspector{uploads: s})
	s.OnReady(func(ctx context.Context, tx database.Tx, u Upload) error {
		job, err := pool.EnqueueTx(ctx, tx, inspectArgs{Upload: u.ID}, nil)
		if err != nil {
			return err
		}
		return insertInspection(ctx, tx, u.ID, Inspection{Job: job.Job.ID, Status: inspectionQueued, UpdatedAt: time.Now()})
	})
	s.Describe("inspection", func(ctx context.Context, u Upload) (any, error) {
		in, err := s.store.inspection(ctx, u.ID)
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return viewInspection(u, in), nil
	})
}

type inspectionJSON struct {
	Job       string    `json:"job"`
	Status    string    `json:"status"`
	Detected  string    `json:"detected,omitempty"`
	Plausible *bool     `json:"plausible,omitempty"`
	Error     string    `json:"error,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
}

func viewInspection(u Upload, in Inspection) inspectionJSON {
	out := inspectionJSON{
		Job: strconv.FormatInt(in.Job, 10), Status: in.Status, Detected: in.Detected, Error: in.Error, UpdatedAt: in.UpdatedAt.UTC(),
	}
	if in.Status == inspectionDone {
		ok := plausible(u.Type, in.Detected)
		out.Plausible = &ok
	}
	return out
}

// plausible reports whether bytes that look like detected may be of the declared
// type. What can't be told is plausible.
func plausible(declared, detected string) bool {
	const unknown = "application/octet-stream"
	return declared == detected || declared == unknown || detected == unknown ||
		strings.HasPrefix(declared, "text/") && detected == "text/plain"
}

type inspector struct {
	river.WorkerDefaults[inspectArgs]
	uploads *Uploads
}

// Work implements [river.Worker]. A job may run twice, and writes the same then.
func (w *inspector) Work(ctx context.Context, job *river.Job[inspectArgs]) error {
	s := w.uploads
	u, err := s.store.byID(ctx, job.Args.Upload)
	if errors.Is(err, ErrNotFound) {
		return river.JobCancel(err)
	}
	if err != nil {
		return err
	}
	in := Inspection{Job: job.ID, Status: inspectionDone, UpdatedAt: time.Now()}
	head, err := s.Peek(ctx, u, sniffed)
	switch {
	case err == nil:
		in.Detected, _, _ = strings.Cut(http.DetectContentType(head), ";")
		return s.store.setInspection(ctx, u.ID, in)
	case errors.Is(err, ErrNotFound): // deleted in the meantime
		in.Status, in.Error = inspectionFailed, "the object is gone"
		if err := s.store.setInspection(ctx, u.ID, in); err != nil {
			return err
		}
		return river.JobCancel(err)
	case job.Attempt >= job.MaxAttempts:
		in.Status, in.Error = inspectionFailed, "the storage did not answer"
		return errors.Join(fmt.Errorf("inspect upload %s: %w", u.ID, err), s.store.setInspection(ctx, u.ID, in))
	}
	return fmt.Errorf("inspect upload %s: %w", u.ID, err)
}
