// Package upload takes files from clients without their bytes passing through
// the service: it hands out signed URLs to an S3 storage, with size, type and
// checksum bound in, and keeps a row of each upload that is `pending` until the
// object has been seen in the storage to be just what was declared.
//
// It owns the table uploads and the objects below its prefix. It knows nothing
// of what a file is for.
package upload

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"example.com/orders/internal/database"
)

// A Status is where an upload stands. It begins as pending and changes once,
// and once more where a ready one is deleted.
type Status string

// The states of an upload.
const (
	Pending Status = "pending" // the client may send bytes
	Ready   Status = "ready"   // the object is in the storage, and is what was declared
	Failed  Status = "failed"  // the object was not what was declared
	Aborted Status = "aborted" // the client gave up, or its time was up
	Deleted Status = "deleted" // it was ready
)

// An Upload is one file on its way to the storage, or there.
type Upload struct {
	ID string
	// Key is the object's key in the bucket. It is made here, of a-z, 0-9, /
	// and -: the file's name is never a part of it.
	Key string
	// Name is the file's name as the client told it. Nothing is done with it.
	Name string
	// Type is the media type that the client told, one of those allowed. The
	// bytes were not looked at.
	Type string
	// Size is the file's size in bytes.
	Size int64
	// SHA256 is the checksum that the storage must find, in lower-case hex: of
	// the content, or, where it is sent in parts, of the parts' checksums one
	// after the other, as S3 defines it for composite checksums.
	SHA256 string
	// PartSize is the size in bytes of all parts but the last, or 0 where the
	// file is sent in one piece.
	PartSize int64
	Status   Status
	// Reason tells why an upload failed or was aborted.
	Reason               string
	CreatedAt, UpdatedAt time.Time
	// ExpiresAt is until when the client can finish it.
	ExpiresAt time.Time

	multipartID string // S3's id; empty before it is asked for
}

// Parts returns the number of parts that the file is sent in.
func (u Upload) Parts() int {
	if u.PartSize == 0 {
		return 1
	}
	return int((u.Size + u.PartSize - 1) / u.PartSize)
}

// partLength is the size of the part with this number, counted from 1.
func (u Upload) partLength(number int) int64 {
	if u.PartSize == 0 {
		return u.Size
	}
	return min(u.PartSize, u.Size-int64(number-1)*u.PartSize)
}

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("there is no such upload")
	// ErrUnavailable means that the storage did not answer, or had trouble of
	// its own. Nothing has changed; the same call later goes on.
	ErrUnavailable = errors.New("the storage does not answer")
	// ErrIncomplete means that the storage lacks the object or some of its parts.
	ErrIncomplete = errors.New("the upload is not complete")
)

// A StatusError says that an upload is past what was asked of it.
type StatusError struct {
	Status Status
	Reason string
}

func (e *StatusError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("the upload is %s", e.Status)
	}
	return fmt.Sprintf("the upload is %s: %s", e.Status, e.Reason)
}

// An InvalidError says what is wrong with a request.
type InvalidError struct{ Detail string }

func (e *InvalidError) Error() string { return e.Detail }

func invalid(format string, args ...any) error {
	return &InvalidError{fmt.Sprintf(format, args...)}
}

// Deps are what uploads are built on. All are required.
type Deps struct {
	Database *database.Pool
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Tracing  trace.TracerProvider
}

// Uploads is the service's uploads. It is safe for concurrent use; any number
// of replicas can share one database and bucket.
type Uploads struct {
	config  Config
	store   store
	storage *storage
	log     *slog.Logger
	metrics metrics
	onReady []func(context.Context, database.Tx, Upload) error
	details map[string]func(context.Context, Upload) (any, error)
}

// New returns the uploads that config describes. A storage that does not answer
// is not an error; a bucket that it refuses is, and so is having no key.
func New(ctx context.Context, config Config, deps Deps) (*Uploads, error) {
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	storage, err := newStorage(ctx, config, deps.Tracing, m)
	if err != nil {
		return nil, err
	}
	if err := storage.checkKey(ctx); err != nil {
		return nil, err
	}
	err = storage.check(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, ErrUnavailable):
		deps.Log.WarnContext(ctx, "the storage of uploads can't be used now; UPLOAD_S3_ENDPOINT says where it is",
			"endpoint", config.Endpoint, "bucket", config.Bucket, "error", err)
	case err != nil:
		return nil, fmt.Errorf("UPLOAD_S3_BUCKET=%s: %w", config.Bucket, err)
	}
	return &Uploads{
		config: config, store: store{deps.Database}, storage: storage, log: deps.Log, metrics: m,
		details: make(map[string]func(context.Context, Upload) (any, error)),
	}, nil
}

// Close closes the idle connections to the storage.
func (s *Uploads) Close() { s.storage.close() }

// OnReady has fn called when an upload becomes ready, in the transaction that
// says so: when fn fails it stays pending, and is tried again. Call it before
// the service serves.
func (s *Uploads) OnReady(fn func(context.Context, database.Tx, Upload) error) {
	s.onReady = append(s.onReady, fn)
}

// Peek returns the first n bytes of a ready upload, or all where it has fewer.
// They pass through the service: keep n small.
func (s *Uploads) Peek(ctx context.Context, u Upload, n int) ([]byte, error) {
	b, err := s.storage.peek(ctx, u.Key, n)
	if errors.Is(err, errNoObject) {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return b, err
}

// Describe has GET /uploads/{id} tell, below details and under this name, what
// others know of an upload. An fn that returns nil has nothing to say. Call it
// before the service serves.
func (s *Uploads) Describe(name string, fn func(context.Context, Upload) (any, error)) {
	s.details[name] = fn
}

// Create notes a new upload of a file with this name, type, size and checksum.
// What may not be uploaded is an [InvalidError].
func (s *Uploads) Create(ctx context.Context, name, mediaType string, size int64, sha256 string) (Upload, error) {
	if err := s.config.allows(name, mediaType, size, sha256); err != nil {
		return Upload{}, err
	}
	u := newUpload(s.config, name, mediaType, size, sha256, time.Now())
	// The row comes first: whatever is in the storage has a row that leads to it.
	// By the time it is swept, the last URL that it got can't be used any more.
	if err := s.store.insert(ctx, u, s.lastURL(u)); err != nil {
		return Upload{}, err
	}
	s.metrics.created.Inc()
	if u.PartSize == 0 {
		return u, nil
	}
	opened, err := s.openMultipart(ctx, u)
	if err != nil {
		s.abandon(ctx, u)
		return Upload{}, err
	}
	return opened, nil
}

// abandonTimeout bounds the note that an upload came to nothing; its caller may
// be gone.
const abandonTimeout = 5 * time.Second

// abandon gives up u, which its client never heard of. The storage may have begun
// a multipart upload before it fell silent: the next sweep removes it.
func (s *Uploads) abandon(ctx context.Context, u Upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	now := time.Now()
	changed, err := s.store.apply(ctx, change{
		id: u.ID, from: Pending, to: Aborted, reason: "it could not be begun", at: now, sweepAt: now,
	}, func(database.Tx) error { return nil })
	if err != nil {
		s.log.WarnContext(ctx, "an upload that could not be begun is left to the sweeper", "upload", u.ID, "error", err)
	}
	if changed {
		s.metrics.finished.WithLabelValues(string(Aborted)).Inc()
	}
}

func newUpload(config Config, name, mediaType string, size int64, sha256 string, now time.Time) Upload {
	id := strings.ToLower(rand.Text())
	now = now.Truncate(time.Millisecond)
	u := Upload{
		ID: id, Key: config.Prefix + id, Name: name, Type: mediaType, Size: size, SHA256: sha256,
		Status: Pending, CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(config.Expiry),
	}
	if size > config.PartSize {
		u.PartSize = config.PartSize
	}
	return u
}

// openMultipart makes sure that the storage takes the parts of u. Where two do
// so at once, the id that is noted first counts, and the other is swept.
func (s *Uploads) openMultipart(ctx context.Context, u Upload) (Upload, error) {
	if u.multipartID != "" {
		return u, nil
	}
	id, err := s.storage.createMultipart(ctx, u)
	if err != nil {
		return Upload{}, err
	}
	u.multipartID, err = s.store.setMultipartID(ctx, u.ID, id)
	return u, err
}

// Get returns the upload with this id, or [ErrNotFound].
func (s *Uploads) Get(ctx context.Context, id string) (Upload, error) {
	return s.store.byID(ctx, id)
}

// A Part is a piece of a file: the file itself where it is sent in one.
type Part struct {
	// Number counts from 1.
	Number int
	// SHA256 is the checksum of the part's content, in lower-case hex.
	SHA256 string
}

// Received returns the parts of a pending upload that are in the storage.
func (s *Uploads) Received(ctx context.Context, u Upload) ([]Part, error) {
	if u.Status != Pending || u.multipartID == "" {
		return nil, nil
	}
	stored, err := s.storage.listParts(ctx, u)
	if errors.Is(err, errNoObject) {
		return nil, nil // it has just been put together, or thrown away
	}
	if err != nil {
		return nil, err
	}
	parts := make([]Part, 0, len(stored))
	for _, p := range stored {
		parts = append(parts, p.Part)
	}
	return parts, nil
}

// A Request is what a client sends to the storage, with the part's content as
// its body.
type Request struct {
	Method, URL string
	// Headers are signed too: they must be sent just like this.
	Headers map[string]string
	// ExpiresAt is until when it can be sent.
	ExpiresAt time.Time
}

// maxRequests is how many URLs are signed in one go.
const maxRequests = 100

// Sign returns the requests by which the client sends these parts of u.
func (s *Uploads) Sign(ctx context.Context, u Upload, parts []Part) ([]Request, error) {
	if len(parts) < 1 || len(parts) > maxRequests {
		return nil, invalid("parts: name between 1 and %d", maxRequests)
	}
	now := time.Now()
	switch {
	case u.Status != Pending:
		return nil, &StatusError{u.Status, u.Reason}
	case !now.Before(u.ExpiresAt):
		return nil, &StatusError{Aborted, "its time is up"}
	}
	for _, p := range parts {
		switch {
		case p.Number < 1 || p.Number > u.Parts():
			return nil, invalid("number: there are parts 1 to %d", u.Parts())
		case !isSHA256(p.SHA256):
			return nil, invalid("sha256: must be 64 digits of lower-case hex")
		case u.PartSize == 0 && p.SHA256 != u.SHA256:
			return nil, invalid("sha256: is not the one that the upload was created with")
		}
	}
	if u.PartSize > 0 {
		var err error
		if u, err = s.openMultipart(ctx, u); err != nil {
			return nil, err
		}
	}
	requests := make([]Request, 0, len(parts))
	for _, p := range parts {
		r, err := s.storage.sign(ctx, u, p)
		if err != nil {
			return nil, err
		}
		r.ExpiresAt = now.Add(s.config.URLExpiry)
		requests = append(requests, r)
	}
	return requests, nil
}

// lastURL is from when on no URL of u is valid.
func (s *Uploads) lastURL(u Upload) time.Time { return u.ExpiresAt.Add(s.config.URLExpiry) }
