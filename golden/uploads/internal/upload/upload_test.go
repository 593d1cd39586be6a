package upload

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"example.com/orders/internal/database/databasetest"
	"example.com/orders/internal/upload/devs3"
	"example.com/orders/internal/waittest"
)

// testStorage is the storage of all tests: the one that TEST_S3_ENDPOINT,
// TEST_S3_REGION, TEST_S3_ACCESS_KEY and TEST_S3_SECRET_KEY lead to, with the
// bucket TEST_S3_BUCKET, or the one in this process, of which there can be only
// one. It is set before the first test and not changed.
var testStorage = struct{ endpoint, region, access, secret, bucket string }{
	os.Getenv("TEST_S3_ENDPOINT"), os.Getenv("TEST_S3_REGION"),
	os.Getenv("TEST_S3_ACCESS_KEY"), os.Getenv("TEST_S3_SECRET_KEY"), os.Getenv("TEST_S3_BUCKET"),
}

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if testStorage.endpoint != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "upload")
	if err != nil {
		return die(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is the system's folder for what is left behind
	key := devs3.Key{Access: rand.Text(), Secret: rand.Text()}
	testStorage.bucket = "uploads"
	server, err := devs3.Start(context.Background(), devs3.Config{Dir: dir, Addr: "127.0.0.1:0"}, key, testStorage.bucket)
	if err != nil {
		return die(err)
	}
	testStorage.endpoint, testStorage.region = server.Endpoint, devs3.Region
	testStorage.access, testStorage.secret = key.Access, key.Secret
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := server.Stop(context.Background()); err != nil {
		return die(err)
	}
	if code != 0 {
		return code
	}
	// The server's HTTP library leaves two that end by themselves or never.
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2")); err != nil {
		return die(err)
	}
	return 0
}

func die(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func testConfig() Config {
	return Config{
		Bucket:          testStorage.bucket,
		Endpoint:        testStorage.endpoint,
		Region:          testStorage.region,
		AccessKey:       testStorage.access,
		SecretKey:       testStorage.secret,
		PathStyle:       true,
		Prefix:          "test-" + strings.ToLower(rand.Text()) + "/",
		Timeout:         5 * time.Second,
		CompleteTimeout: 20 * time.Second,
		MaxSize:         64 << 20,
		PartSize:        minPartSize,
		Types:           []string{"text/plain", "image/png"},
		URLExpiry:       15 * time.Minute,
		Expiry:          time.Hour,
		SweepPeriod:     time.Minute,
		SweepBatch:      100,
		Retention:       24 * time.Hour,
	}
}

// setup returns uploads with a database and a prefix of the test's own.
func setup(t testing.TB, change func(*Config)) *Uploads {
	t.Helper()
	config := testConfig()
	if change != nil {
		change(&config)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), config, Deps{
		Database: databasetest.Open(t),
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
		Metrics:  prometheus.NewRegistry(),
		Tracing:  noop.NewTracerProvider(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// content is some bytes of this size that are not the same throughout.
func content(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 7 / 5)
	}
	return b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// split returns the parts that b is sent in, and the checksum to declare.
func split(b []byte, partSize int64) (parts [][]byte, checksum string) {
	if int64(len(b)) <= partSize {
		return [][]byte{b}, sum(b)
	}
	var sums []byte
	for rest := b; len(rest) > 0; {
		n := min(int64(len(rest)), partSize)
		s := sha256.Sum256(rest[:n])
		sums = append(sums, s[:]...)
		parts, rest = append(parts, rest[:n]), rest[n:]
	}
	return parts, sum(sums)
}

func begin(t testing.TB, s *Uploads, b []byte) (Upload, [][]byte) {
	t.Helper()
	parts, checksum := split(b, s.config.PartSize)
	u, err := s.Create(t.Context(), "hello.txt", "text/plain", int64(len(b)), checksum)
	if err != nil {
		t.Fatal(err)
	}
	if u.Parts() != len(parts) {
		t.Fatalf("%d bytes: %d parts, want %d", len(b), u.Parts(), len(parts))
	}
	return u, parts
}

func signOne(t testing.TB, s *Uploads, u Upload, number int, checksum string) Request {
	t.Helper()
	part := Part{number, checksum}
	requests, err := s.Sign(t.Context(), u, []Part{part})
	if err != nil {
		t.Fatal(err)
	}
	return requests[0]
}

// put sends the request as a client does, and returns the storage's answer.
func put(t testing.TB, r Request, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.Headers {
		if name != "Content-Length" {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // was read to its end
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func mustPut(t testing.TB, r Request, body []byte) {
	t.Helper()
	if status, answer := put(t, r, body); status != http.StatusOK {
		t.Fatalf("%s: %d %s", r.URL, status, answer)
	}
}

func wantStatus(t testing.TB, s *Uploads, id string, want Status) Upload {
	t.Helper()
	u, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if u.Status != want {
		t.Fatalf("the upload is %s (%s), want %s", u.Status, u.Reason, want)
	}
	return u
}

// remains says what the storage has of u.
func remains(t testing.TB, s *Uploads, u Upload) string {
	t.Helper()
	var found []string
	_, err := s.storage.head(t.Context(), u.Key)
	switch {
	case err == nil:
		found = append(found, "object")
	case !errors.Is(err, errNoObject):
		t.Fatal(err)
	}
	if u.multipartID != "" {
		parts, err := s.storage.listParts(t.Context(), u)
		switch {
		case err == nil:
			found = append(found, fmt.Sprintf("%d parts", len(parts)))
		case !errors.Is(err, errNoObject):
			t.Fatal(err)
		}
	}
	return strings.Join(found, ", ")
}

func TestUploadBecomesReady(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 1000, minPartSize, minPartSize + 1, 3*minPartSize - 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			s := setup(t, nil)
			b := content(size)
			u, parts := begin(t, s, b)
			for i, part := range parts {
				if _, err := s.Complete(t.Context(), u.ID); !errors.Is(err, ErrIncomplete) {
					t.Fatalf("complete before part %d: %v, want that it is incomplete", i+1, err)
				}
				mustPut(t, signOne(t, s, u, i+1, sum(part)), part)
			}
			wantStatus(t, s, u.ID, Pending)
			for range 2 { // the second finds it done
				ready, err := s.Complete(t.Context(), u.ID)
				if err != nil || ready.Status != Ready {
					t.Fatalf("complete: %v %v", ready.Status, err)
				}
			}
			found, err := s.storage.head(t.Context(), u.Key)
			if err != nil || found.size != int64(size) || found.mediaType != "text/plain" {
				t.Errorf("the object: %+v, %v", found, err)
			}
		})
	}
}

// A client that comes back asks what is there, and sends the rest.
func TestMultipartResumes(t *testing.T) {
	t.Parallel()
	s := setup(t, nil)
	u, parts := begin(t, s, content(3*minPartSize))
	mustPut(t, signOne(t, s, u, 2, sum(parts[1])), parts[1])

	received, err := s.Received(t.Context(), u)
	if err != nil || len(received) != 1 || received[0] != (Part{2, sum(parts[1])}) {
		t.Fatalf("received %v, %v", received, err)
	}
	_, err = s.Complete(t.Context(), u.ID)
	if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "2 of 3 parts are missing: 1, 3") {
		t.Errorf("complete: %v", err)
	}
	for _, n := range []int{3, 1} {
		mustPut(t, signOne(t, s, u, n, sum(parts[n-1])), parts[n-1])
	}
	if _, err := s.Complete(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
}

// The storage itself refuses whatever is not what was signed.
func TestStorageRefuses(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, minPartSize + 1000} {
		for name, tt := range map[string]struct {
			change func(t *testing.T, r *Request, body []byte) []byte
			status int
		}{
			"nothing": {func(_ *testing.T, _ *Request, b []byte) []byte { return b }, http.StatusOK},
			"a byte less": {func(_ *testing.T, _ *Request, b []byte) []byte {
				return b[:len(b)-1]
			}, http.StatusForbidden},
			"a byte more": {func(_ *testing.T, _ *Request, b []byte) []byte {
				return append(bytes.Clone(b), 0)
			}, http.StatusForbidden},
			"other bytes": {func(_ *testing.T, _ *Request, b []byte) []byte {
				b = bytes.Clone(b)
				b[len(b)/2]++
				return b
			}, http.StatusBadRequest},
			"other bytes with their checksum": {func(_ *testing.T, r *Request, b []byte) []byte {
				b = bytes.Clone(b)
				b[0]++
				r.Headers["X-Amz-Checksum-Sha256"] = base64SHA256(sum(b))
				return b
			}, http.StatusForbidden},
			"no checksum": {func(_ *testing.T, r *Request, b []byte) []byte {
				delete(r.Headers, "X-Amz-Checksum-Sha256")
				return b
			}, http.StatusForbidden},
			"another key": {func(_ *testing.T, r *Request, b []byte) []byte {
				r.URL = strings.Replace(r.URL, "?", "x?", 1)
				return b
			}, http.StatusForbidden},
			"another method": {func(_ *testing.T, r *Request, b []byte) []byte {
				r.Method = http.MethodDelete
				return b
			}, http.StatusForbidden},
			"a longer expiry": {func(t *testing.T, r *Request, b []byte) []byte {
				longer := strings.Replace(r.URL, "X-Amz-Expires=900", "X-Amz-Expires=9000", 1)
				if longer == r.URL {
					t.Fatal("the URL has another expiry: " + r.URL)
				}
				r.URL = longer
				return b
			}, http.StatusForbidden},
		} {
			t.Run(fmt.Sprintf("%d/%s", size, name), func(t *testing.T) {
				t.Parallel()
				s := setup(t, nil)
				u, parts := begin(t, s, content(size))
				part := parts[len(parts)-1]
				r := signOne(t, s, u, len(parts), sum(part))
				status, answer := put(t, r, tt.change(t, &r, part))
				if status != tt.status {
					t.Errorf("status %d, want %d: %s", status, tt.status, answer)
				}
				want := ""
				if len(parts) > 1 {
					want = "0 parts"
				}
				if tt.status == http.StatusOK {
					want = map[bool]string{true: "1 parts", false: "object"}[len(parts) > 1]
				}
				if got := remains(t, s, u); got != want {
					t.Errorf("in the storage: %q, want %q", got, want)
				}
			})
		}
	}
}

func TestStorageRefusesAnotherType(t *testing.T) {
	t.Parallel()
	s := setup(t, nil)
	b := content(10)
	u, _ := begin(t, s, b)
	r := signOne(t, s, u, 1, sum(b))
	r.Headers["Content-Type"] = "text/html"
	if status, answer := put(t, r, b); status != http.StatusForbidden {
		t.Errorf("status %d, want %d: %s", status, http.StatusForbidden, answer)
	}
}

func TestStorageRefusesAnExpiredURL(t *testing.T) {
	t.Parallel()
	s := setup(t, func(c *Config) { c.URLExpiry = time.Second })
	b := content(10)
	u, _ := begin(t, s, b)
	r := signOne(t, s, u, 1, sum(b))
	waittest.Until(t, func() error {
		if status, _ := put(t, r, b); status != http.StatusForbidden {
			return fmt.Errorf("status %d; the URL expires at %s", status, r.ExpiresAt)
		}
		return nil
	})
}

// What is in the storage is compared, however it came there.
func TestConfirmComparesTheObject(t *testing.T) {
	t.Parallel()
	b := content(100)
	other := bytes.Clone(b)
	other[0]++
	for name, tt := range map[string]struct {
		body      []byte
		mediaType string
		reason    string
	}{
		"right":          {b, "text/plain", ""},
		"another size":   {b[:99], "text/plain", "the object has 99 bytes, and 100 were declared"},
		"another type":   {b, "image/png", `the object is "image/png", and "text/plain" was declared`},
		"other bytes":    {other, "text/plain", "the object has another SHA-256 than was declared"},
		"nothing at all": {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, nil)
			u, _ := begin(t, s, b)
			if tt.body != nil {
				// Signed for what is put, as by someone else with access.
				lie := u
				lie.Size, lie.Type, lie.SHA256 = int64(len(tt.body)), tt.mediaType, sum(tt.body)
				r, err := s.storage.sign(t.Context(), lie, Part{1, lie.SHA256})
				if err != nil {
					t.Fatal(err)
				}
				mustPut(t, r, tt.body)
			}
			_, err := s.Confirm(t.Context(), u.Key)
			switch {
			case tt.body == nil:
				if !errors.Is(err, ErrIncomplete) {
					t.Errorf("confirm: %v, want %v", err, ErrIncomplete)
				}
				wantStatus(t, s, u.ID, Pending)
			case tt.reason == "":
				if err != nil {
					t.Errorf("confirm: %v", err)
				}
				wantStatus(t, s, u.ID, Ready)
			default:
				var status *StatusError
				if !errors.As(err, &status) || *status != (StatusError{Failed, tt.reason}) {
					t.Errorf("confirm: %v, want failed: %s", err, tt.reason)
				}
				if u := wantStatus(t, s, u.ID, Failed); u.Reason != tt.reason {
					t.Errorf("the reason is %q", u.Reason)
				}
				if got := remains(t, s, u); got != "" {
					t.Errorf("in the storage: %s", got)
				}
			}
		})
	}
}

// Parts that are each as signed, and together not what was declared.
func TestPartsOfAnotherFileFail(t *testing.T) {
	t.Parallel()
	s := setup(t, nil)
	u, parts := begin(t, s, content(2*minPartSize))
	other := bytes.Clone(parts[1])
	other[0]++
	mustPut(t, signOne(t, s, u, 1, sum(parts[0])), parts[0])
	mustPut(t, signOne(t, s, u, 2, sum(other)), other)
	var status *StatusError
	if _, err := s.Complete(t.Context(), u.ID); !errors.As(err, &status) || status.Status != Failed {
		t.Fatalf("complete: %v, want failed", err)
	}
	u = wantStatus(t, s, u.ID, Failed)
	if got := remains(t, s, u); got != "" {
		t.Errorf("in the storage: %s", got)
	}
}

// A storage that does not answer is told from everything else, and nothing is
// lost by it.
func TestUnavailableStorage(t *testing.T) {
	t.Parallel()
	s := setup(t, nil) // with a database
	dead, err := newStorage(t.Context(), deadConfig(), noop.NewTracerProvider(), s.metrics)
	if err != nil {
		t.Fatal(err)
	}
	alive := s.storage
	b := content(2 * minPartSize)
	u, parts := begin(t, s, b)
	for i, part := range parts {
		mustPut(t, signOne(t, s, u, i+1, sum(part)), part)
	}
	s.storage = dead
	_, checksum := split(b, minPartSize)
	_, createErr := s.Create(t.Context(), "a", "text/plain", int64(len(b)), checksum)
	_, receivedErr := s.Received(t.Context(), u)
	_, completeErr := s.Complete(t.Context(), u.ID)
	_, confirmErr := s.Confirm(t.Context(), u.Key)
	for name, err := range map[string]error{
		"create": createErr, "received": receivedErr, "complete": completeErr, "confirm": confirmErr, "check": dead.check(t.Context()),
	} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v, want %v", name, err, ErrUnavailable)
		}
	}
	wantStatus(t, s, u.ID, Pending)
	s.storage = alive
	if _, err := s.Complete(t.Context(), u.ID); err != nil {
		t.Error(err)
	}
}

// What a client never heard of is not left pending: the next sweep removes what
// the storage may have, and the row goes after its retention.
func TestCreateLeavesNothingPendingBehind(t *testing.T) {
	t.Parallel()
	s := setup(t, nil)
	alive := s.storage
	dead, err := newStorage(t.Context(), deadConfig(), noop.NewTracerProvider(), s.metrics)
	if err != nil {
		t.Fatal(err)
	}
	s.storage = dead
	_, checksum := split(content(2*minPartSize), minPartSize)
	if _, err := s.Create(t.Context(), "a", "text/plain", 2*minPartSize, checksum); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("create: %v", err)
	}
	now := time.Now()
	due, err := s.store.due(t.Context(), now, 10)
	if err != nil || len(due) != 1 || due[0].Status != Aborted || due[0].Reason == "" {
		t.Fatalf("due: %+v, %v; want the one upload, aborted", due, err)
	}
	s.storage = alive
	for _, at := range []time.Time{now, now.Add(s.config.Retention + time.Minute)} {
		if err := s.Sweep(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(t.Context(), due[0].ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("after its retention: %v, want %v", err, ErrNotFound)
	}
}

// Why there was no answer is told, and no secret with it.
func TestSilenceIsToldApart(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() }) // nothing was written
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	own := httptest.NewUnstartedServer(http.NotFoundHandler())
	own.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	own.StartTLS()
	t.Cleanup(own.Close)
	for endpoint, want := range map[string]string{
		"http://127.0.0.1:1":             "the connection is refused",
		"http://nothing.invalid":         "its name is not found",
		"http://" + mute.Addr().String(): "the time is up",
		own.URL:                          "its certificate is not trusted",
		strings.Replace(plain.URL, "http:", "https:", 1): "no TLS connection",
	} {
		config := testConfig()
		config.Endpoint, config.Timeout, config.SecretKey = endpoint, 30*time.Second, "do-not-tell"
		if want == "the time is up" {
			config.Timeout = 500 * time.Millisecond
		}
		var log bytes.Buffer
		s, err := New(t.Context(), config, Deps{
			Database: databasetest.Open(t), Log: slog.New(slog.NewTextHandler(&log, nil)),
			Metrics: prometheus.NewRegistry(), Tracing: noop.NewTracerProvider(),
		})
		if err != nil {
			t.Errorf("%s: %v", endpoint, err)
			continue
		}
		s.Close()
		for _, part := range []string{"UPLOAD_S3_ENDPOINT", endpoint, want} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("%s: no %q in the log: %s", endpoint, part, log.String())
			}
		}
		if strings.Contains(log.String(), "do-not-tell") {
			t.Errorf("%s: the secret is in the log: %s", endpoint, log.String())
		}
	}
}

func TestNewWantsAKey(t *testing.T) {
	for variable, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"), "AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"),
		"AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "",
	} {
		t.Setenv(variable, value)
	}
	config := testConfig()
	config.AccessKey, config.SecretKey = "", ""
	_, err := New(t.Context(), config, Deps{
		Database: databasetest.Open(t), Log: slog.New(slog.DiscardHandler),
		Metrics: prometheus.NewRegistry(), Tracing: noop.NewTracerProvider(),
	})
	if err == nil || !strings.HasPrefix(err.Error(), "UPLOAD_S3_ACCESS_KEY and UPLOAD_S3_SECRET_KEY are not set") {
		t.Errorf("new: %v, want the variables named", err)
	}
}

func TestNewRefusesAWrongBucketOrKey(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"bucket": func(c *Config) { c.Bucket = "nothing-" + strings.ToLower(rand.Text()) },
		"key":    func(c *Config) { c.SecretKey += "x" }, // which is named too
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := testConfig()
			change(&config)
			_, err := New(t.Context(), config, Deps{
				Database: databasetest.Open(t), Log: slog.New(slog.DiscardHandler),
				Metrics: prometheus.NewRegistry(), Tracing: noop.NewTracerProvider(),
			})
			if err == nil || !strings.Contains(err.Error(), "UPLOAD_S3_BUCKET") {
				t.Errorf("new: %v, want the variable named", err)
			}
		})
	}
}

// Whatever a client declares, it gets a key of our own making, and the parts add
// up to the file.
func TestCreateProperties(t *testing.T) {
	t.Parallel()
	config := testConfig()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		size := rapid.Int64Range(-1, 2*config.MaxSize).Draw(t, "size")
		err := config.allows(name, "text/plain", size, sum(nil))
		if size < 1 || size > config.MaxSize || name == "" {
			if err == nil {
				t.Fatal("it is allowed")
			}
			return
		}
		u := newUpload(config, name, "text/plain", size, sum(nil), time.Now())
		if !keyPattern.MatchString(u.Key) {
			t.Fatalf("the key is %q", u.Key)
		}
		total := int64(0)
		for n := 1; n <= u.Parts(); n++ {
			length := u.partLength(n)
			if length < 1 || length > config.PartSize || n < u.Parts() && length < minPartSize {
				t.Fatalf("part %d has %d bytes", n, length)
			}
			total += length
		}
		if total != size || u.Parts() > maxParts {
			t.Fatalf("%d parts have %d bytes, want %d", u.Parts(), total, size)
		}
	})
}

var keyPattern = regexp.MustCompile(`^[a-z0-9/-]+$`)

// Signing is what the service does for each part, and all that it does.
func BenchmarkSign(b *testing.B) {
	s := setup(b, nil)
	u, _ := begin(b, s, content(2*minPartSize))
	part := Part{1, sum(nil)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.storage.sign(b.Context(), u, part); err != nil {
			b.Fatal(err)
		}
	}
}
