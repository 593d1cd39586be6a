//go:build !production

package devs3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3response"
)

// rooted lets the posix backend work below dir wherever the process's working
// directory is. posix takes a bucket's name as its path, relative to the working
// directory; here it is handed the absolute one. An operation that is not listed
// is answered with 501: passed on as it is, it would act on the working
// directory.
type rooted struct {
	backend.BackendUnsupported
	below *posix.Posix
	dir   string
}

// path is the bucket's path. The server in front has checked the name, which
// has no slash.
func (b rooted) path(bucket string) string { return b.dir + "/" + bucket }

func (b rooted) pathTo(bucket *string) *string {
	path := b.path(*bucket)
	return &path
}

func (b rooted) String() string { return "objects in " + b.dir }

func (b rooted) Shutdown() { b.below.Shutdown() }

func (b rooted) NormalizeObjectKey(bucket, object string) string {
	return b.below.NormalizeObjectKey(b.path(bucket), object)
}

func (b rooted) CreateBucket(ctx context.Context, input *s3.CreateBucketInput, acl []byte) error {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	return b.below.CreateBucket(ctx, &in, acl)
}

func (b rooted) HeadBucket(ctx context.Context, input *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	return b.below.HeadBucket(ctx, &in)
}

func (b rooted) GetBucketAcl(ctx context.Context, input *s3.GetBucketAclInput) ([]byte, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	return b.below.GetBucketAcl(ctx, &in)
}

func (b rooted) GetBucketPolicy(ctx context.Context, bucket string) ([]byte, error) {
	return b.below.GetBucketPolicy(ctx, b.path(bucket))
}

func (b rooted) GetBucketCors(ctx context.Context, bucket string) ([]byte, error) {
	return b.below.GetBucketCors(ctx, b.path(bucket))
}

func (b rooted) GetBucketVersioning(ctx context.Context, bucket string) (s3response.GetBucketVersioningOutput, error) {
	return b.below.GetBucketVersioning(ctx, b.path(bucket))
}

func (b rooted) GetObjectLockConfiguration(ctx context.Context, bucket string) ([]byte, error) {
	return b.below.GetObjectLockConfiguration(ctx, b.path(bucket))
}

func (b rooted) PutObject(ctx context.Context, input s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	input.Bucket = b.pathTo(input.Bucket)
	return b.below.PutObject(ctx, input)
}

func (b rooted) HeadObject(ctx context.Context, input *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	return b.below.HeadObject(ctx, &in)
}

func (b rooted) GetObject(ctx context.Context, input *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	return b.below.GetObject(ctx, &in)
}

func (b rooted) DeleteObject(ctx context.Context, input *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	return b.below.DeleteObject(ctx, &in)
}

func (b rooted) ListObjectsV2(ctx context.Context, input *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	out, err := b.below.ListObjectsV2(ctx, &in)
	out.Name = input.Bucket
	return out, err
}

func (b rooted) CreateMultipartUpload(ctx context.Context, input s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	bucket := *input.Bucket
	input.Bucket = b.pathTo(input.Bucket)
	out, err := b.below.CreateMultipartUpload(ctx, input)
	out.Bucket = bucket
	return out, err
}

func (b rooted) UploadPart(ctx context.Context, input *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	return b.below.UploadPart(ctx, &in)
}

func (b rooted) ListParts(ctx context.Context, input *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	out, err := b.below.ListParts(ctx, &in)
	out.Bucket = *input.Bucket
	return out, err
}

func (b rooted) ListMultipartUploads(ctx context.Context, input *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	out, err := b.below.ListMultipartUploads(ctx, &in)
	out.Bucket = *input.Bucket
	return out, err
}

func (b rooted) CompleteMultipartUpload(ctx context.Context, input *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	out, version, err := b.below.CompleteMultipartUpload(ctx, &in)
	out.Bucket = input.Bucket
	return out, version, err
}

func (b rooted) AbortMultipartUpload(ctx context.Context, input *s3.AbortMultipartUploadInput) error {
	in := *input
	in.Bucket = b.pathTo(in.Bucket)
	return b.below.AbortMultipartUpload(ctx, &in)
}
