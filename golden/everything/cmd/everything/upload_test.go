package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/orders/internal/browsertest"
	"example.com/orders/internal/waittest"
)

// uploadTestEnv leads to a storage that is not there: a process can have no more
// than one of its own, and most tests need none.
func uploadTestEnv(testing.TB) map[string]string {
	return map[string]string{
		"UPLOAD_S3_BUCKET":     "uploads",
		"UPLOAD_S3_ENDPOINT":   "http://127.0.0.1:1",
		"UPLOAD_S3_PATH_STYLE": "true",
		"UPLOAD_S3_ACCESS_KEY": "key",
		"UPLOAD_S3_SECRET_KEY": "secret",
		"UPLOAD_S3_TIMEOUT":    "200ms",
	}
}

// An uploadStorage is the development storage in a process of its own, which is
// another service.
type uploadStorage struct {
	*serviceProcess
	dir string
	// env leads a service to it.
	env map[string]string
}

func startUploadStorage(t testing.TB) *uploadStorage {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := &uploadStorage{dir: t.TempDir(), env: map[string]string{
		"UPLOAD_S3_BUCKET":     "uploads",
		"UPLOAD_S3_ENDPOINT":   "http://" + addr,
		"UPLOAD_S3_ACCESS_KEY": rand.Text(),
		"UPLOAD_S3_SECRET_KEY": rand.Text(),
		"UPLOAD_S3_TIMEOUT":    "5s",
	}}
	s.serviceProcess = startProcess(t, s.ownEnv(addr))
	return s
}

// ownEnv has a service run the storage itself.
func (s *uploadStorage) ownEnv(addr string) map[string]string {
	env := maps.Clone(s.env)
	env["UPLOAD_S3_BUCKET"], env["UPLOAD_S3_ENDPOINT"] = "", ""
	env["UPLOAD_DEV_S3_ADDR"], env["UPLOAD_DEV_S3_DIR"] = addr, s.dir
	return env
}

// openMultiparts returns how many multipart uploads are open in the storage.
func (s *uploadStorage) openMultiparts(t testing.TB) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.dir, "uploads", ".sgwtmp", "multipart", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

type uploadAnswer struct {
	ID        string
	Status    string
	Reason    string
	Size      int64
	PartSize  int64 `json:"part_size"`
	PartCount int   `json:"part_count"`
	Parts     []uploadRequest
	Request   *uploadRequest
}

type uploadRequest struct {
	Number  int
	SHA256  string
	Method  string
	URL     string
	Headers map[string]string
}

// uploadCall calls the service and checks the status.
func uploadCall(t testing.TB, method, url, body string, status int) uploadAnswer {
	t.Helper()
	got, text := send(t, method, url, body)
	if got != status {
		t.Fatalf("%s %s: %d, want %d: %s", method, url, got, status, text)
	}
	var answer uploadAnswer
	if text == "" || status >= http.StatusBadRequest {
		return answer
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return answer
}

// uploadPut sends body to the storage as the request says.
func uploadPut(t testing.TB, r uploadRequest, body io.Reader, length int64) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	req.ContentLength = length
	resp, answer := do(t, req)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the storage answers %d: %s", resp.StatusCode, answer)
	}
}

// zeros reads as n zeros, like a file of that size.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func zerosSum(t testing.TB, n int64) [sha256.Size]byte {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, zeros(n)); err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// beginZeros begins an upload of zeros, in parts where it has more than
// partSize bytes. It returns the checksums of its parts.
func beginZeros(t testing.TB, service string, size, partSize int64) (uploadAnswer, []string) {
	t.Helper()
	var sums []string
	var all []byte
	known := map[int64][sha256.Size]byte{}
	for start := int64(0); start < size; start += partSize {
		length := min(partSize, size-start)
		sum, ok := known[length]
		if !ok {
			sum = zerosSum(t, length)
			known[length] = sum
		}
		sums = append(sums, hex.EncodeToString(sum[:]))
		all = append(all, sum[:]...)
	}
	declared := sums[0]
	if len(sums) > 1 {
		sum := sha256.Sum256(all)
		declared = hex.EncodeToString(sum[:])
	}
	return uploadCall(t, http.MethodPost, service+"/uploads",
		fmt.Sprintf(`{"name": "zeros.bin", "type": "application/octet-stream", "size": %d, "sha256": %q}`, size, declared),
		http.StatusCreated), sums
}

// sendZeros sends the parts with these numbers.
func sendZeros(t testing.TB, service string, u uploadAnswer, sums []string, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		answer := uploadCall(t, http.MethodPost, service+"/uploads/"+u.ID+"/parts",
			fmt.Sprintf(`{"parts": [{"number": %d, "sha256": %q}]}`, n, sums[n-1]), http.StatusOK)
		length := u.Size
		if u.PartSize > 0 {
			length = min(u.PartSize, u.Size-int64(n-1)*u.PartSize)
		}
		uploadPut(t, answer.Parts[0], zeros(length), length)
	}
}

const mib = 1 << 20

// With nothing configured the service brings a storage along.
func TestUploadRunsAtOnce(t *testing.T) {
	s := startProcess(t, map[string]string{"UPLOAD_S3_BUCKET": "", "UPLOAD_S3_ENDPOINT": "", "UPLOAD_DEV_S3_DIR": t.TempDir()})
	u, _ := beginZeros(t, s.URL, 1000, 16*mib)
	if u.Request == nil {
		t.Fatalf("no request in %+v", u)
	}
	uploadPut(t, *u.Request, zeros(1000), 1000)
	ready := uploadCall(t, http.MethodPost, s.URL+"/uploads/"+u.ID+"/complete", "", http.StatusOK)
	mustEqual(t, "status", ready.Status, "ready")
	_, metrics := get(t, s.URL+"/metrics")
	for _, want := range []string{
		"upload_created_total 1\n", `upload_finished_total{status="ready"} 1` + "\n", "upload_ready_bytes_total 1000\n",
		`upload_storage_request_duration_seconds_count{operation="HeadObject",result="ok"} 1` + "\n", "upload_sweep_backlog 0\n",
	} {
		if err := contains(metrics, want); err != nil {
			t.Error(err)
		}
	}
	uploadCall(t, http.MethodDelete, s.URL+"/uploads/"+u.ID, "", http.StatusNoContent)
	uploadCall(t, http.MethodPost, s.URL+"/uploads/"+u.ID+"/complete", "", http.StatusGone)
}

func TestUploadDeadStorage(t *testing.T) {
	s := startService(t, nil)
	for _, path := range []string{"/uploads", "/uploads/ID/complete"} {
		size := 100 * mib
		if path != "/uploads" {
			u, _ := beginZeros(t, s.URL, 1000, 16*mib) // needs no storage yet
			path = strings.Replace(path, "ID", u.ID, 1)
		}
		body := ""
		if path == "/uploads" {
			body = fmt.Sprintf(`{"name": "a", "type": "text/plain", "size": %d, "sha256": %q}`, size, strings.Repeat("0", 64))
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, answer := do(t, req)
		mustEqual(t, path, resp.StatusCode, http.StatusServiceUnavailable)
		mustEqual(t, path+": Retry-After", resp.Header.Get("Retry-After"), "5")
		if err := contains(answer, "The storage does not answer; try again later."); err != nil {
			t.Error(err)
		}
	}
	// The service goes on serving.
	status, _ := get(t, s.URL+"/readyz")
	mustEqual(t, "readiness", status, http.StatusOK)
}

func TestUploadBadInput(t *testing.T) {
	s := startService(t, nil)
	u, sums := beginZeros(t, s.URL, 1000, 16*mib)
	create := func(name, mediaType string, size int64, sha string) string {
		body, err := json.Marshal(map[string]any{"name": name, "type": mediaType, "size": size, "sha256": sha})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	sum := sums[0]
	for _, tt := range []struct {
		method, path, body string
		status             int
		detail             string
	}{
		{"POST", "/uploads", "", 400, "The body is empty"},
		{"POST", "/uploads", `{"name": "a", "path": "/etc"}`, 400, `The field "path" is unknown`},
		{"POST", "/uploads", `{"size": "big"}`, 400, "size: a JSON string can't stand here."},
		{"POST", "/uploads", create("", "text/plain", 1, sum), 422, "name: must have between 1 and 255 bytes"},
		{"POST", "/uploads", create(strings.Repeat("n", 256), "text/plain", 1, sum), 422, "name: must have between 1 and 255 bytes"},
		{"POST", "/uploads", create("a\nb", "text/plain", 1, sum), 422, "name: must be text without control characters"},
		{"POST", "/uploads", create("a", "text/html", 1, sum), 422, "type: must be one of application/octet-stream, "},
		{"POST", "/uploads", create("a", "", 1, sum), 422, "type: must be one of "},
		{"POST", "/uploads", create("a", "text/plain", 0, sum), 422, "size: must be between 1 and 10737418240 bytes"},
		{"POST", "/uploads", create("a", "text/plain", -1, sum), 422, "size: must be between 1 and "},
		{"POST", "/uploads", create("a", "text/plain", 1<<62, sum), 422, "size: must be between 1 and "},
		{"POST", "/uploads", create("a", "text/plain", 1, ""), 422, "sha256: must be 64 digits of lower-case hex"},
		{"POST", "/uploads", create("a", "text/plain", 1, strings.ToUpper(sum)), 422, "sha256: must be 64 digits"},
		{"POST", "/uploads", create("a", "text/plain", 1, sum[:63]+"g"), 422, "sha256: must be 64 digits"},
		{"GET", "/uploads/nothing", "", 404, "There is no such upload."},
		{"DELETE", "/uploads/nothing", "", 404, "There is no such upload."},
		{"POST", "/uploads/nothing/complete", "", 404, "There is no such upload."},
		{"POST", "/uploads/nothing/parts", `{"parts": []}`, 404, "There is no such upload."},
		{"POST", "/uploads/" + u.ID + "/parts", `{"parts": []}`, 422, "parts: name between 1 and 100"},
		{"POST", "/uploads/" + u.ID + "/parts", `{"parts": [{"number": 0, "sha256": "` + sum + `"}]}`, 422, "number: there are parts 1 to 1"},
		{"POST", "/uploads/" + u.ID + "/parts", `{"parts": [{"number": 2, "sha256": "` + sum + `"}]}`, 422, "number: there are parts 1 to 1"},
		{"POST", "/uploads/" + u.ID + "/parts", `{"parts": [{"number": 1, "sha256": "x"}]}`, 422, "sha256: must be 64 digits"},
		{"POST", "/uploads/" + u.ID + "/parts", `{"parts": [{"number": 1, "sha256": "` + strings.Repeat("0", 64) + `"}]}`, 422, "is not the one that the upload was created with"},
	} {
		status, answer := send(t, tt.method, s.URL+tt.path, tt.body)
		var p struct {
			Status int
			Detail string
		}
		if err := json.Unmarshal([]byte(answer), &p); err != nil {
			t.Errorf("%s: %v", answer, err)
		}
		if status != tt.status || p.Status != status || !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%s %s %s\n got %d %s\nwant %d %s", tt.method, tt.path, tt.body, status, p.Detail, tt.status, tt.detail)
		}
	}
}

func TestUploadBadConfigurationNamesTheVariable(t *testing.T) {
	for _, variable := range []string{
		"UPLOAD_S3_BUCKET=", "UPLOAD_S3_ENDPOINT=nowhere", "UPLOAD_S3_PUBLIC_ENDPOINT=ftp://x", "UPLOAD_S3_SECRET_KEY=",
		"UPLOAD_S3_PREFIX=a", "UPLOAD_S3_PREFIX=Ab/", "UPLOAD_S3_TIMEOUT=0s", "UPLOAD_S3_COMPLETE_TIMEOUT=-1s", "UPLOAD_S3_PATH_STYLE=maybe",
		"UPLOAD_MAX_SIZE=0", "UPLOAD_MAX_SIZE=1000000000000", "UPLOAD_PART_SIZE=1", "UPLOAD_TYPES=text", "UPLOAD_URL_EXPIRY=169h",
		"UPLOAD_URL_EXPIRY=999ms", "UPLOAD_S3_BUCKET=a/b", "UPLOAD_S3_REGION=us east", "UPLOAD_S3_ENDPOINT=http://me:pass@host", "UPLOAD_S3_ENDPOINT=http://:9000",
		"UPLOAD_EXPIRY=0s", "UPLOAD_SWEEP_PERIOD=0s", "UPLOAD_SWEEP_BATCH=0", "UPLOAD_RETENTION=0s",
	} {
		env := defaultEnv(t)
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
		err := run(t.Context(), func(key string) string { return env[key] }, t.Output(), t.Output())
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want the variable named", variable, err)
		}
		if name == "UPLOAD_PART_SIZE" && strings.Contains(fmt.Sprint(err), "UPLOAD_MAX_SIZE") {
			t.Errorf("%s: %v, which is wrong by that only", variable, err)
		}
	}
	for variable, value := range map[string]string{
		"UPLOAD_DEV_S3_ADDR": "0.0.0.0:0",
		"UPLOAD_DEV_S3_DIR":  "upload_test.go/dir", // a file can't have one
	} {
		env := defaultEnv(t)
		env["UPLOAD_S3_BUCKET"], env["UPLOAD_S3_ENDPOINT"] = "", ""
		env[variable] = value
		err := run(t.Context(), func(key string) string { return env[key] }, t.Output(), t.Output())
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s=%s: %v, want the variable named", variable, value, err)
		}
	}
}

// 1 GiB goes from the client to the storage, and none of it through the service.
func TestUploadBypassesTheService(t *testing.T) {
	storage := startUploadStorage(t)
	const size, partSize = 1024 * mib, 64 * mib
	env := maps.Clone(storage.env)
	env["UPLOAD_PART_SIZE"] = strconv.Itoa(partSize)
	env["GOGC"] = "25" // what is measured is what it keeps, not what it has yet to collect
	s := startProcess(t, env)
	warm, sums := beginZeros(t, s.URL, 1000, partSize)
	sendZeros(t, s.URL, warm, sums, 1)
	uploadCall(t, http.MethodPost, s.URL+"/uploads/"+warm.ID+"/complete", "", http.StatusOK)

	before := readProcess(t, s.cmd.Process.Pid)
	u, sums := beginZeros(t, s.URL, size, partSize)
	for n := range sums {
		sendZeros(t, s.URL, u, sums, n+1)
	}
	ready := uploadCall(t, http.MethodPost, s.URL+"/uploads/"+u.ID+"/complete", "", http.StatusOK)
	mustEqual(t, "status", ready.Status, "ready")
	mustEqual(t, "parts", ready.PartCount, size/partSize)
	after := readProcess(t, s.cmd.Process.Pid)

	read, written := after.read-before.read, after.written-before.written
	t.Logf("for %d bytes the service read %d and wrote %d, and its peak memory grew by %d kB", size, read, written, after.peakKB-before.peakKB)
	// What it reads and writes are requests, answers and rows.
	if read < 1000 {
		t.Errorf("the service read %d bytes: its connections are not counted", read)
	}
	if read > mib || written > mib {
		t.Errorf("the service read %d and wrote %d bytes", read, written)
	}
	if grown := after.peakKB - before.peakKB; grown > partSize/2/1024 {
		t.Errorf("the service's peak memory grew by %d kB", grown)
	}
}

type processUse struct{ read, written, peakKB int64 }

// readProcess says what a process has read and written by now, in files and
// connections alike, and the most memory that it has used.
func readProcess(t testing.TB, pid int) processUse {
	t.Helper()
	var use processUse
	for file, fields := range map[string]map[string]*int64{
		"io":     {"rchar": &use.read, "wchar": &use.written},
		"status": {"VmHWM": &use.peakKB},
	} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err != nil {
			t.Skipf("this system does not tell what a process reads and writes: %v", err)
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			if into, ok := fields[name]; ok {
				if _, err := fmt.Sscan(value, into); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
		}
	}
	return use
}

// The service is killed at each of its steps, before the storage hears of it and
// after it has answered. Another comes up, and every upload is settled.
func TestUploadNothingIsStuckAfterAKill(t *testing.T) {
	storage := startUploadStorage(t)
	for _, tt := range []struct {
		method, query string // the request to the storage in which it is killed
		after         bool
		want          string
	}{
		{http.MethodPost, "uploads", false, "aborted"},
		{http.MethodPost, "uploads", true, "aborted"},
		{http.MethodPost, "uploadId", false, "ready"},
		{http.MethodPost, "uploadId", true, "ready"},
		{http.MethodHead, "", false, "ready"},
		{http.MethodHead, "", true, "ready"},
	} {
		t.Run(fmt.Sprintf("%s %s %v", tt.method, tt.query, tt.after), func(t *testing.T) {
			t.Parallel()
			kill := newKillingProxy(t, storage.env["UPLOAD_S3_ENDPOINT"], func(r *http.Request, after bool) bool {
				return r.Method == tt.method && after == tt.after && strings.Contains(r.URL.Path, "/uploads/uploads/") &&
					(tt.query == "" || r.URL.Query().Has(tt.query))
			})
			env := maps.Clone(storage.env)
			maps.Copy(env, map[string]string{
				"UPLOAD_S3_ENDPOINT": kill.URL, "UPLOAD_PART_SIZE": strconv.Itoa(5 * mib),
				"UPLOAD_SWEEP_PERIOD": "1h", "UPLOAD_EXPIRY": "8s", "UPLOAD_URL_EXPIRY": "8s",
			})
			first := startProcess(t, env)
			kill.victim.Store(first)
			id := uploadUntilKilled(t, first.URL)

			maps.Copy(env, first.Env)
			// It is the next one that sweeps, once the upload's time is up.
			maps.Copy(env, map[string]string{"UPLOAD_S3_ENDPOINT": storage.env["UPLOAD_S3_ENDPOINT"], "UPLOAD_SWEEP_PERIOD": "20ms"})
			next := startProcess(t, env)
			waittest.Until(t, func() error {
				if id == "" {
					if _, metrics := get(t, next.URL+"/metrics"); contains(metrics, `upload_finished_total{status="`+tt.want+`"} 1`) != nil {
						return fmt.Errorf("no upload was %s", tt.want)
					}
					return nil
				}
				if got := uploadCall(t, http.MethodGet, next.URL+"/uploads/"+id, "", http.StatusOK); got.Status != tt.want {
					return fmt.Errorf("the upload is %s %s", got.Status, got.Reason)
				}
				return nil
			})
			waittest.Until(t, func() error {
				if n := storage.openMultiparts(t); n > 0 {
					return fmt.Errorf("%d multipart uploads are open", n)
				}
				return nil
			})
		})
	}
}

// uploadUntilKilled uploads in parts until the service is gone, and returns the
// upload's id, or "" where the service was gone before it told.
func uploadUntilKilled(t testing.TB, service string) string {
	t.Helper()
	const size, partSize = 6 * mib, 5 * mib
	first, last := zerosSum(t, partSize), zerosSum(t, size-partSize)
	declared := sha256.Sum256(append(first[:], last[:]...))
	resp, err := http.Post(service+"/uploads", "application/json", strings.NewReader(fmt.Sprintf( //nolint:noctx // the service is killed
		`{"name": "zeros.bin", "type": "application/octet-stream", "size": %d, "sha256": "%x"}`, size, declared)))
	if err != nil {
		return ""
	}
	var u uploadAnswer
	err = json.NewDecoder(resp.Body).Decode(&u)
	_ = resp.Body.Close() // was read
	if err != nil {
		t.Fatal(err)
	}
	sendZeros(t, service, u, []string{hex.EncodeToString(first[:]), hex.EncodeToString(last[:])}, 1, 2)
	resp, err = http.Post(service+"/uploads/"+u.ID+"/complete", "", nil) //nolint:noctx // the service is killed
	if err == nil {
		_ = resp.Body.Close() // nothing is read
		t.Fatalf("the service was not killed: %s", resp.Status)
	}
	return u.ID
}

// A killingProxy stands between a service and the storage, and kills the service
// at a chosen request.
type killingProxy struct {
	URL    string
	victim atomic.Pointer[serviceProcess]
}

func newKillingProxy(t testing.TB, storage string, at func(r *http.Request, after bool) bool) *killingProxy {
	t.Helper()
	target, err := url.Parse(storage)
	if err != nil {
		t.Fatal(err)
	}
	k := &killingProxy{}
	kill := func() { _ = k.victim.Load().cmd.Process.Kill() } // fails where it is dead already
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(resp *http.Response) error {
			if at(resp.Request, true) {
				kill()
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at(r, false) {
			kill()
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close() // its connections belong to a dead process
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	k.URL = "http://" + l.Addr().String()
	return k
}

// A real browser uploads from the page, is interrupted, and goes on.
func TestUploadDemoPage(t *testing.T) {
	storage := startUploadStorage(t)
	env := maps.Clone(storage.env)
	env["UPLOAD_PART_SIZE"] = strconv.Itoa(5 * mib)
	s := startProcess(t, env)
	page := browsertest.Open(t, s.URL+"/demo/upload")
	small, large := filepath.Join(t.TempDir(), "small.txt"), filepath.Join(t.TempDir(), "large.bin")
	content := bytes.Repeat([]byte("0123456789abcde\n"), 22*mib/16)
	for path, size := range map[string]int{small: 1000, large: len(content)} {
		if err := os.WriteFile(path, content[:size], 0o600); err != nil {
			t.Fatal(err)
		}
	}

	page.SetFile("#file", small)
	page.WaitFor(`document.body.dataset.state === "ready"`)
	var bar float64
	if page.Eval(`document.getElementById("bar").value`, &bar); bar != 1 {
		t.Errorf("the bar is at %v", bar)
	}

	// The page loses its connection to the storage after three of five parts.
	page.Eval(`(() => {
		const send = XMLHttpRequest.prototype.send
		window.sent = 0
		window.arrived = 0
		XMLHttpRequest.prototype.send = function (body) {
			if (window.sent++ >= 3) return
			this.addEventListener("load", () => window.arrived++)
			send.call(this, body)
		}
	})()`, nil)
	page.SetFile("#file", large)
	page.WaitFor(`window.arrived === 3`)
	page.Navigate(s.URL + "/demo/upload")
	page.SetFile("#file", large)
	page.WaitFor(`document.body.dataset.state === "ready"`)
	var resumed, answer string
	if page.Eval(`document.body.dataset.resumed`, &resumed); resumed != "3" {
		t.Errorf("it went on after %q parts, want 3", resumed)
	}
	page.Eval(`document.getElementById("answer").textContent`, &answer)
	var u uploadAnswer
	if err := json.Unmarshal([]byte(answer), &u); err != nil {
		t.Fatal(err)
	}
	stored, err := os.ReadFile(filepath.Join(storage.dir, "uploads", "uploads", u.ID))
	if err != nil || !bytes.Equal(stored, content) {
		t.Errorf("the object is not the file: %d bytes, %v", len(stored), err)
	}
}

// The development storage is in no production build.
func TestUploadProductionBuildHasNoStorage(t *testing.T) {
	for tags, want := range map[string]bool{"": true, "production": false} {
		out, err := exec.Command("go", "list", "-deps", "-tags", tags, ".").Output() //nolint:gosec // tags are those above
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), "versitygw"); got != want {
			t.Errorf("tags %q: the development storage is in the build: %v, want %v", tags, got, want)
		}
	}
}
