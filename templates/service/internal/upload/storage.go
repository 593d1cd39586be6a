package upload

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awssigner "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// storage is the S3 bucket. All of the AWS SDK stands in this file.
type storage struct {
	config      Config
	credentials aws.CredentialsProvider
	client      *s3.Client
	signer      *s3.PresignClient
	http        *http.Transport
	tracer      trace.Tracer
	metrics     metrics
}

// What the storage says, beside [ErrUnavailable].
var (
	errNoObject = errors.New("there is no such object or multipart upload")
	errRefused  = errors.New("refused")
)

// An object is what the storage tells of one.
type object struct {
	size      int64
	mediaType string
	sha256    string // as in the header x-amz-checksum-sha256
}

type storedPart struct {
	Part
	size int64
	etag string
}

func newStorage(ctx context.Context, config Config, tracing trace.TracerProvider, m metrics) (*storage, error) {
	cfg := aws.Config{Region: config.Region}
	if config.AccessKey != "" {
		cfg.Credentials = credentials.NewStaticCredentialsProvider(config.AccessKey, config.SecretKey, "")
	} else {
		var err error
		if cfg, err = awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(config.Region)); err != nil {
			return nil, fmt.Errorf("AWS configuration: %w", err)
		}
	}
	found := cfg.Credentials
	cfg.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		key, err := found.Retrieve(ctx)
		if err != nil {
			err = fmt.Errorf("%w: %w", errNoKey, err)
		}
		return key, err
	})
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is documented to be one
	transport.MaxIdleConnsPerHost = 16
	options := func(endpoint string) func(*s3.Options) {
		return func(o *s3.Options) {
			o.UsePathStyle = config.PathStyle
			o.HTTPClient = &http.Client{Transport: transport}
			// The service waits itself, no longer than Timeout, and its clients
			// are told to come again.
			o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = config.Timeout / 10 })
			// Otherwise the SDK signs a CRC32 of an empty body into each URL.
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			if endpoint != "" {
				o.BaseEndpoint = aws.String(endpoint)
			}
		}
	}
	public := config.PublicEndpoint
	if public == "" {
		public = config.Endpoint
	}
	return &storage{
		config:      config,
		credentials: cfg.Credentials,
		client:      s3.NewFromConfig(cfg, options(config.Endpoint)),
		signer:      s3.NewPresignClient(s3.NewFromConfig(cfg, options(public)), s3.WithPresignExpires(config.URLExpiry)),
		http:        transport,
		tracer:      tracing.Tracer("upload"),
		metrics:     m,
	}, nil
}

// close closes the idle connections.
func (s *storage) close() { s.http.CloseIdleConnections() }

// do runs one operation, with a bound to its time, a span and its metric.
func (s *storage) do(ctx context.Context, operation string, timeout time.Duration, fn func(context.Context) error) error {
	ctx, span := s.tracer.Start(ctx, "s3."+operation, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("aws.s3.bucket", s.config.Bucket)))
	defer span.End()
	callCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	start := time.Now()
	err := fn(callCtx)
	result := "ok"
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err() // it is the caller who has gone or has no more time
		} else {
			err = classify(err)
		}
		result = "error"
		switch {
		case errors.Is(err, ErrUnavailable):
			result = "unavailable"
		case errors.Is(err, errNoObject):
			result = "missing"
		case errors.Is(err, errRefused):
			result = "refused"
		}
		if result != "missing" {
			span.SetStatus(codes.Error, err.Error())
		}
		err = fmt.Errorf("%s: %w", operation, err)
	}
	s.metrics.requests.WithLabelValues(operation, result).Observe(time.Since(start).Seconds())
	return err
}

// checkKey reports whether there is a key to sign with.
func (s *storage) checkKey(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if _, err := s.credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("UPLOAD_S3_ACCESS_KEY and UPLOAD_S3_SECRET_KEY are not set, and the AWS SDK finds no key either (AWS_ACCESS_KEY_ID, a shared configuration, the role of the machine): %w", err)
	}
	return nil
}

// check asks whether the bucket is there and may be used.
func (s *storage) check(ctx context.Context) error {
	return s.do(ctx, "HeadBucket", s.config.Timeout, func(ctx context.Context) error {
		_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.config.Bucket})
		return err
	})
}

func (s *storage) head(ctx context.Context, key string) (object, error) {
	var found object
	err := s.do(ctx, "HeadObject", s.config.Timeout, func(ctx context.Context) error {
		out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{
			Bucket: &s.config.Bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled,
		})
		if err != nil {
			return err
		}
		found = object{aws.ToInt64(out.ContentLength), aws.ToString(out.ContentType), aws.ToString(out.ChecksumSHA256)}
		return nil
	})
	return found, err
}

// peek returns the first n bytes of an object, or all where it has fewer.
func (s *storage) peek(ctx context.Context, key string, n int) ([]byte, error) {
	var b []byte
	err := s.do(ctx, "GetObject", s.config.Timeout, func(ctx context.Context) error {
		out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
			Bucket: &s.config.Bucket, Key: &key, Range: aws.String(fmt.Sprintf("bytes=0-%d", n-1)),
		})
		if err != nil {
			return err
		}
		b, err = io.ReadAll(out.Body)
		return errors.Join(err, out.Body.Close())
	})
	return b, err
}

// sign returns the request that sends part p of u and nothing else: its length,
// its checksum and, for a whole file, its type are signed with it.
func (s *storage) sign(ctx context.Context, u Upload, p Part) (Request, error) {
	length := u.partLength(p.Number)
	checksum := base64SHA256(p.SHA256)
	var signed *awssigner.PresignedHTTPRequest
	var err error
	if u.PartSize == 0 {
		signed, err = s.signer.PresignPutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.config.Bucket, Key: &u.Key,
			ContentLength: &length, ContentType: &u.Type, ChecksumSHA256: &checksum,
		})
	} else {
		signed, err = s.signer.PresignUploadPart(ctx, &s3.UploadPartInput{
			Bucket: &s.config.Bucket, Key: &u.Key, UploadId: &u.multipartID, PartNumber: partNumber(p.Number),
			ContentLength: &length, ChecksumSHA256: &checksum,
		})
	}
	if err != nil {
		return Request{}, fmt.Errorf("sign: %w", err)
	}
	headers := make(map[string]string, len(signed.SignedHeader))
	for name := range signed.SignedHeader {
		if name != "Host" { // every client sends that by itself
			headers[name] = signed.SignedHeader.Get(name)
		}
	}
	return Request{Method: signed.Method, URL: signed.URL, Headers: headers}, nil
}

func (s *storage) createMultipart(ctx context.Context, u Upload) (string, error) {
	var id string
	err := s.do(ctx, "CreateMultipartUpload", s.config.Timeout, func(ctx context.Context) error {
		out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &s.config.Bucket, Key: &u.Key, ContentType: &u.Type,
			ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumType: types.ChecksumTypeComposite,
		})
		if err != nil {
			return err
		}
		id = aws.ToString(out.UploadId)
		return nil
	})
	return id, err
}

// listParts returns the parts of u that are stored, by their numbers.
func (s *storage) listParts(ctx context.Context, u Upload) ([]storedPart, error) {
	var parts []storedPart
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: &s.config.Bucket, Key: &u.Key, UploadId: &u.multipartID})
	for pages.HasMorePages() {
		err := s.do(ctx, "ListParts", s.config.Timeout, func(ctx context.Context) error {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, p := range page.Parts {
				parts = append(parts, storedPart{
					Part: Part{Number: int(aws.ToInt32(p.PartNumber)), SHA256: hexSHA256(aws.ToString(p.ChecksumSHA256))},
					size: aws.ToInt64(p.Size),
					etag: aws.ToString(p.ETag),
				})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// completeMultipart has the parts put together. The storage refuses it where
// they are not what was declared.
func (s *storage) completeMultipart(ctx context.Context, u Upload, stored []storedPart) error {
	parts := make([]types.CompletedPart, 0, len(stored))
	for _, p := range stored {
		parts = append(parts, types.CompletedPart{
			PartNumber: partNumber(p.Number), ETag: &p.etag, ChecksumSHA256: aws.String(base64SHA256(p.SHA256)),
		})
	}
	return s.do(ctx, "CompleteMultipartUpload", s.config.CompleteTimeout, func(ctx context.Context) error {
		_, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &s.config.Bucket, Key: &u.Key, UploadId: &u.multipartID,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
			ChecksumSHA256:  aws.String(checksumHeader(u)), ChecksumType: types.ChecksumTypeComposite,
			MpuObjectSize: &u.Size,
		})
		return err
	})
}

// remove removes all that there is of u: the object, and parts.
func (s *storage) remove(ctx context.Context, u Upload) error {
	if u.PartSize > 0 {
		if err := s.abortMultiparts(ctx, u); err != nil {
			return err
		}
	}
	return s.do(ctx, "DeleteObject", s.config.Timeout, func(ctx context.Context) error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.config.Bucket, Key: &u.Key})
		return err
	})
}

// abortMultiparts throws away the parts of u, also those whose multipart upload
// was begun without being noted.
func (s *storage) abortMultiparts(ctx context.Context, u Upload) error {
	open, err := s.listMultiparts(ctx, u)
	if err != nil {
		return err
	}
	for _, id := range open {
		err := s.do(ctx, "AbortMultipartUpload", s.config.Timeout, func(ctx context.Context) error {
			_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.config.Bucket, Key: &u.Key, UploadId: &id})
			return err
		})
		if err != nil && !errors.Is(err, errNoObject) {
			return err
		}
	}
	return nil
}

// listMultiparts returns the ids of the multipart uploads of u. There are few:
// their keys begin with u's, which no other does.
func (s *storage) listMultiparts(ctx context.Context, u Upload) ([]string, error) {
	var open []string
	err := s.do(ctx, "ListMultipartUploads", s.config.Timeout, func(ctx context.Context) error {
		out, err := s.client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &s.config.Bucket, Prefix: &u.Key})
		if err != nil {
			return err
		}
		for _, m := range out.Uploads {
			if aws.ToString(m.Key) == u.Key {
				open = append(open, aws.ToString(m.UploadId))
			}
		}
		return nil
	})
	return open, err
}

// partNumber is at most maxParts.
func partNumber(n int) *int32 { return aws.Int32(int32(n)) } //nolint:gosec // it fits

// checksumHeader is u's checksum as the storage tells it: in base64, and where
// it is made of parts with their number.
func checksumHeader(u Upload) string {
	if u.PartSize == 0 {
		return base64SHA256(u.SHA256)
	}
	return base64SHA256(u.SHA256) + "-" + strconv.Itoa(u.Parts())
}

// base64SHA256 turns a checksum from hex, which was checked before, to base64.
func base64SHA256(digits string) string {
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != sha256.Size {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

func hexSHA256(encoded string) string {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(b)
}
