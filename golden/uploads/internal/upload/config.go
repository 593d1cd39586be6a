package upload

import (
	"cmp"
	"errors"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"example.com/orders/internal/setting"
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
	// together. Where HTTP_WRITE_TIMEOUT is shorter the client may get no answer,
	// and has to call again.
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
	bucketPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	regionPattern = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	prefixPattern = regexp.MustCompile(`^([a-z0-9-]+/)*$`)
	typePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$`)
)

// Validate reports a value that can't be meant.
func (c Config) Validate() error {
	const most = 24 * time.Hour
	errs := []error{
		setting.Check(c.Bucket == "" || bucketPattern.MatchString(c.Bucket), "UPLOAD_S3_BUCKET=%s: must be letters, digits, -, _ and .", c.Bucket),
		validEndpoint("UPLOAD_S3_ENDPOINT", c.Endpoint),
		validEndpoint("UPLOAD_S3_PUBLIC_ENDPOINT", c.PublicEndpoint),
		setting.Check(c.Bucket != "" || c.Endpoint == "", "UPLOAD_S3_BUCKET is not set: UPLOAD_S3_ENDPOINT wants it"),
		setting.Check(regionPattern.MatchString(c.Region), "UPLOAD_S3_REGION=%s: must be letters, digits and -", c.Region),
		setting.Check((c.AccessKey == "") == (c.SecretKey == ""), "UPLOAD_S3_ACCESS_KEY and UPLOAD_S3_SECRET_KEY: set both or none"),
		setting.Check(prefixPattern.MatchString(c.Prefix), "UPLOAD_S3_PREFIX=%s: must be made of a-z, 0-9 and -, and end in /", c.Prefix),
		setting.Between("UPLOAD_S3_TIMEOUT", c.Timeout, time.Millisecond, most),
		setting.Between("UPLOAD_S3_COMPLETE_TIMEOUT", c.CompleteTimeout, time.Millisecond, most),
		setting.Between("UPLOAD_PART_SIZE", c.PartSize, minPartSize, maxPartSize),
		setting.Positive("UPLOAD_MAX_SIZE", c.MaxSize),
		setting.Check(c.PartSize < minPartSize || c.PartSize > maxPartSize || c.MaxSize <= maxParts*c.PartSize, "UPLOAD_MAX_SIZE=%d: must be at most %d, which is %d parts of UPLOAD_PART_SIZE=%d",
			c.MaxSize, maxParts*c.PartSize, maxParts, c.PartSize),
		setting.Check(len(c.Types) > 0, "UPLOAD_TYPES: must name at least one media type"),
		setting.Between("UPLOAD_URL_EXPIRY", c.URLExpiry, time.Second, 7*24*time.Hour), // as S3 has it
		setting.Between("UPLOAD_EXPIRY", c.Expiry, time.Millisecond, 100*366*24*time.Hour),
		setting.Between("UPLOAD_SWEEP_PERIOD", c.SweepPeriod, time.Millisecond, most),
		setting.Between("UPLOAD_SWEEP_BATCH", c.SweepBatch, 1, 100_000),
		setting.Between("UPLOAD_RETENTION", c.Retention, time.Millisecond, 100*366*24*time.Hour),
	}
	for _, t := range c.Types {
		errs = append(errs, setting.Check(typePattern.MatchString(t), "UPLOAD_TYPES: %q is no media type in lower case", t))
	}
	return errors.Join(errs...)
}

// validEndpoint does not tell the value: it may hold a password, where it must
// not.
func validEndpoint(variable, value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	port := ""
	if err == nil {
		port = u.Port()
	}
	n, portErr := strconv.Atoi(cmp.Or(port, "443"))
	ok := err == nil && portErr == nil && n >= 1 && n <= math.MaxUint16 && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
	return setting.Check(ok, "%s: must be a URL such as https://s3.example.com, without user and password", variable)
}
