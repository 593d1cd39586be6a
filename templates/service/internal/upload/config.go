package upload

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"time"
)

// Bounds of multipart uploads in S3
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
const (
	minPartSize = 5 << 20
	maxPartSize = 5 << 30
	maxParts    = 10_000
)

// Config says where the objects are kept and what may be uploaded.
type Config struct {
	// Bucket is the bucket that holds the objects. It must exist, and its CORS
	// rules must allow PUT from the pages that upload.
	Bucket string `env:"UPLOAD_S3_BUCKET"`
	// Endpoint is the URL of a storage that is not AWS.
	Endpoint string `env:"UPLOAD_S3_ENDPOINT"`
	// PublicEndpoint is the same storage's URL as clients reach it, where that
	// differs.
	PublicEndpoint string `env:"UPLOAD_S3_PUBLIC_ENDPOINT"`
	// Region is the bucket's region.
	Region string `env:"UPLOAD_S3_REGION" envDefault:"us-east-1"`
	// AccessKey and SecretKey are the key pair to sign with. Where they are not
	// set, the AWS SDK looks where it always does: AWS_ACCESS_KEY_ID, the shared
	// configuration, the role of the machine.
	AccessKey string `env:"UPLOAD_S3_ACCESS_KEY"`
	// SecretKey belongs to AccessKey.
	SecretKey string `env:"UPLOAD_S3_SECRET_KEY"`
	// PathStyle puts the bucket into the URL's path instead of its host; most
	// storages that are not AWS need it.
	PathStyle bool `env:"UPLOAD_S3_PATH_STYLE" envDefault:"false"`
	// Prefix is what the keys of all objects begin with.
	Prefix string `env:"UPLOAD_S3_PREFIX" envDefault:"uploads/"`
	// Timeout is how long one request to the storage may take, retries included.
	Timeout time.Duration `env:"UPLOAD_S3_TIMEOUT" envDefault:"5s"`
	// CompleteTimeout is how long the storage may take to put a large object
	// together; keep it below HTTP_WRITE_TIMEOUT.
	CompleteTimeout time.Duration `env:"UPLOAD_S3_COMPLETE_TIMEOUT" envDefault:"25s"`

	// MaxSize is the size of the largest file, in bytes.
	MaxSize int64 `env:"UPLOAD_MAX_SIZE" envDefault:"10737418240"`
	// PartSize is the size, in bytes, up to which a file is sent in one piece,
	// and of the parts that a larger one is sent in.
	PartSize int64 `env:"UPLOAD_PART_SIZE" envDefault:"16777216"`
	// Types are the media types that may be uploaded. Think twice before
	// allowing text/html or image/svg+xml: they carry scripts.
	Types []string `env:"UPLOAD_TYPES" envDefault:"application/octet-stream,application/pdf,application/zip,image/gif,image/jpeg,image/png,image/webp,text/csv,text/plain,video/mp4"`
	// URLExpiry is how long a URL that was handed out can be used.
	URLExpiry time.Duration `env:"UPLOAD_URL_EXPIRY" envDefault:"15m"`
	// Expiry is how long a client has to finish an upload.
	Expiry time.Duration `env:"UPLOAD_EXPIRY" envDefault:"24h"`

	// SweepPeriod is how often uploads are looked for that nobody finished.
	SweepPeriod time.Duration `env:"UPLOAD_SWEEP_PERIOD" envDefault:"1m"`
	// SweepBatch is how many of them are dealt with in one go.
	SweepBatch int `env:"UPLOAD_SWEEP_BATCH" envDefault:"100"`
	// Retention is how long the row of a failed, aborted or deleted upload is
	// kept.
	Retention time.Duration `env:"UPLOAD_RETENTION" envDefault:"168h"`
}

// Development reports whether no storage is configured.
func (c Config) Development() bool { return c.Bucket == "" && c.Endpoint == "" }

var (
	prefixPattern = regexp.MustCompile(`^([a-z0-9-]+/)*$`)
	typePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$`)
)

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	for _, d := range []struct {
		variable string
		value    time.Duration
	}{
		{"UPLOAD_S3_TIMEOUT", c.Timeout},
		{"UPLOAD_S3_COMPLETE_TIMEOUT", c.CompleteTimeout},
		{"UPLOAD_URL_EXPIRY", c.URLExpiry},
		{"UPLOAD_EXPIRY", c.Expiry},
		{"UPLOAD_SWEEP_PERIOD", c.SweepPeriod},
		{"UPLOAD_RETENTION", c.Retention},
	} {
		if d.value <= 0 {
			return fmt.Errorf("%s=%s: must be more than 0", d.variable, d.value)
		}
	}
	for _, e := range []struct{ variable, value string }{
		{"UPLOAD_S3_ENDPOINT", c.Endpoint},
		{"UPLOAD_S3_PUBLIC_ENDPOINT", c.PublicEndpoint},
	} {
		if e.value == "" {
			continue
		}
		// The value is not told: it may hold a password, where it must not.
		if u, err := url.Parse(e.value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return fmt.Errorf("%s: must be a URL such as https://s3.example.com, without user and password", e.variable)
		}
	}
	switch {
	case c.Bucket == "" && c.Endpoint != "":
		return errors.New("UPLOAD_S3_BUCKET is not set: UPLOAD_S3_ENDPOINT wants it")
	case (c.AccessKey == "") != (c.SecretKey == ""):
		return fmt.Errorf("UPLOAD_S3_ACCESS_KEY and UPLOAD_S3_SECRET_KEY: set both or none")
	case !prefixPattern.MatchString(c.Prefix):
		return fmt.Errorf("UPLOAD_S3_PREFIX=%s: must be made of a-z, 0-9 and -, and end in /", c.Prefix)
	case c.PartSize < minPartSize || c.PartSize > maxPartSize:
		return fmt.Errorf("UPLOAD_PART_SIZE=%d: must be between %d and %d", c.PartSize, minPartSize, maxPartSize)
	case c.MaxSize < 1 || c.MaxSize > maxParts*c.PartSize:
		return fmt.Errorf("UPLOAD_MAX_SIZE=%d: must be between 1 and %d, which is %d parts of UPLOAD_PART_SIZE", c.MaxSize, maxParts*c.PartSize, maxParts)
	case c.URLExpiry > 7*24*time.Hour:
		return fmt.Errorf("UPLOAD_URL_EXPIRY=%s: S3 takes no more than 168h", c.URLExpiry)
	case c.SweepBatch < 1:
		return fmt.Errorf("UPLOAD_SWEEP_BATCH=%d: must be at least 1", c.SweepBatch)
	case len(c.Types) == 0:
		return fmt.Errorf("UPLOAD_TYPES: must name at least one media type")
	}
	if i := slices.IndexFunc(c.Types, func(t string) bool { return !typePattern.MatchString(t) }); i >= 0 {
		return fmt.Errorf("UPLOAD_TYPES: %q is no media type in lower case", c.Types[i])
	}
	return nil
}
