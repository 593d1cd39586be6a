package golden

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The disk under a whole service is full, and later has room again: what can't
// be kept is refused in time with 503, what was accepted is there, each once,
// and all goes on without a restart.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s, disk := startOnSmallDisk(t)
	file := []byte("written when there was room again")
	accepted := []string{"before"}
	s.wants(t, http.StatusCreated, http.MethodPost, "/topics/a.b/messages", message("before"))
	s.wants(t, http.StatusAccepted, http.MethodPost, "/jobs", invoice("before"))
	s.eventually(t, http.StatusOK, "/invoices/before")
	upload := s.beginUpload(t, file)
	s.wants(t, http.StatusAccepted, http.MethodPost, "/fulfilments", order("before"))

	fill := filepath.Join(disk, "fill")
	if err := fillUp(fill); err != nil {
		t.Fatal(err)
	}
	// A message may find room in a page that is there already, a few can't.
	refused := ""
	for i := 0; refused == "" && i < 10; i++ {
		id := fmt.Sprint("full", i)
		begin := time.Now()
		status, body := s.send(t, http.MethodPost, "/topics/a.b/messages", message(id))
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("the answer took %s, where 2 s are configured", took)
		}
		switch status {
		case http.StatusCreated:
			accepted = append(accepted, id)
		case http.StatusServiceUnavailable:
			refused = id
		default:
			t.Fatalf("a message on the full disk: %d %s", status, body)
		}
	}
	if refused == "" {
		t.Fatal("a full disk took all messages")
	}
	s.wants(t, http.StatusServiceUnavailable, http.MethodPost, "/jobs", invoice("full"))
	s.wants(t, http.StatusServiceUnavailable, http.MethodPost, "/uploads", declare(file))
	s.wants(t, http.StatusServiceUnavailable, http.MethodPost, "/fulfilments", order("full"))
	until(t, func() error { // the time to cancel is over, and the next step can't be noted
		if log := s.log(); !strings.Contains(log, "the engine's database fails") {
			return fmt.Errorf("the log does not tell of the workflow:\n%s", log)
		}
		return nil
	})
	if status, body := upload.put(t, file); status < 500 {
		t.Errorf("the development storage takes a file on the full disk: %d %s", status, body)
	}
	s.wants(t, http.StatusOK, http.MethodGet, "/invoices/before", "")
	if body := s.wants(t, http.StatusServiceUnavailable, http.MethodGet, "/readyz", ""); !strings.Contains(body, "pubsub") {
		t.Errorf("/readyz does not say what is not ready: %s", body)
	}
	if log := s.log(); !strings.Contains(log, "PUBSUB_DIR=") || !strings.Contains(log, syscall.ENOSPC.Error()) {
		t.Errorf("the log does not tell which disk is full:\n%s", log)
	}

	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, http.StatusOK, "/readyz")
	for _, id := range []string{refused, "after"} {
		s.wants(t, http.StatusCreated, http.MethodPost, "/topics/a.b/messages", message(id))
		s.wants(t, http.StatusAccepted, http.MethodPost, "/jobs", invoice(id))
		s.eventually(t, http.StatusOK, "/invoices/"+id)
		accepted = append(accepted, id)
	}
	s.wants(t, http.StatusAccepted, http.MethodPost, "/fulfilments", order("full"))
	for _, id := range []string{"before", "full"} {
		s.eventuallySays(t, `"state":"completed"`, "/fulfilments/"+id)
	}
	var stored struct{ Messages []struct{ ID string } }
	body := s.wants(t, http.StatusOK, http.MethodGet, "/topics/a.b/messages?after=0", "")
	if err := json.Unmarshal([]byte(body), &stored); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range stored.Messages {
		ids = append(ids, m.ID)
	}
	if got, want := strings.Join(ids, " "), strings.Join(accepted, " "); got != want {
		t.Errorf("stored are %s, accepted were %s", got, want)
	}
	if status, body := upload.put(t, file); status != http.StatusOK {
		t.Errorf("there is room again, and the storage answers %d %s", status, body)
	}
	s.wants(t, http.StatusOK, http.MethodPost, "/uploads/"+upload.ID+"/complete", "")
}

func message(id string) string {
	return fmt.Sprintf(`{"id":%q,"data":%q}`, id, strings.Repeat("x", 100<<10))
}

func invoice(order string) string {
	return fmt.Sprintf(`{"kind":"invoice","args":{"order":%q,"customer":"Ada","lines":[{"item":"tea","quantity":2,"cents":450}]}}`, order)
}

func order(id string) string {
	return fmt.Sprintf(`{"order_id":%q,"sku":"desk","quantity":1,"cents":24900,"country":"DE"}`, id)
}

func declare(file []byte) string {
	return fmt.Sprintf(`{"name":"a","type":"text/plain","size":%d,"sha256":"%x"}`, len(file), sha256.Sum256(file))
}

// fillUp writes a file until there is no room for another byte.
func fillUp(name string) error {
	f, err := os.Create(name) //nolint:gosec // on the test's own disk
	if err != nil {
		return err
	}
	for size := 1 << 20; size > 0 && err == nil; {
		if _, err = f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size, err = size/2, nil
		}
	}
	return errors.Join(err, f.Close())
}

// A diskService is golden/everything, running on a small disk of its own.
type diskService struct {
	url  string
	logs *lockedBuffer
}

func (s *diskService) log() string { return s.logs.String() }

// startOnSmallDisk runs golden/everything with all that it stores on a file
// system of a few megabytes, in a mount namespace of its own, until the test
// ends. It also returns where the test finds that file system.
func startOnSmallDisk(t *testing.T) (s *diskService, disk string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		noSmallDisk(t, "needs Linux, for a small file system of its own")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "service")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/everything") //nolint:gosec // a constant command
	build.Dir = "everything"
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly "+os.Getenv("GOFLAGS"))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	disk = filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil { //nolint:gosec // a mount point
		t.Fatal(err)
	}
	args := []string{"--mount", "sh", "-c", `mount -t tmpfs -o size=48m none "$1" || exit 99; exec "$2"`, "sh", disk, program}
	if os.Getuid() != 0 {
		args = append([]string{"--map-root-user"}, args...)
	}
	cmd := exec.Command("unshare", args...) //nolint:gosec,noctx // killed below
	cmd.Env = append(os.Environ(), "ADDR=127.0.0.1:0", "LOG_LEVEL=WARN",
		"PUBSUB_DIR="+disk+"/pubsub", "PUBSUB_MAX_BYTES=16777216", "PUBSUB_PUBLISH_TIMEOUT=2s",
		"DATABASE_PATH="+disk+"/service.db", "UPLOAD_DEV_S3_DIR="+disk+"/s3",
		"WORKFLOW_DBOS_PATH="+disk+"/workflow.db", "WORKFLOW_CANCEL_WINDOW=1s")
	s = &diskService{logs: new(lockedBuffer)}
	cmd.Stderr = s.logs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		noSmallDisk(t, "this machine lets no one mount a file system: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // says that it was killed
	})
	line, _ := bufio.NewReader(stdout).ReadString('\n') // "" where it ended
	_, url, ok := strings.Cut(strings.TrimSpace(line), " listens on ")
	if !ok {
		_ = cmd.Wait() // says what is looked at here
		if cmd.ProcessState.ExitCode() == 99 || strings.HasPrefix(s.log(), "unshare:") {
			noSmallDisk(t, "this machine lets no one mount a file system: %s", s.log())
		}
		t.Fatalf("the service did not start:\n%s", s.log())
	}
	s.url = url
	return s, fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, disk)
}

func (s *diskService) send(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	return do(t, method, s.url+path, map[string]string{"Content-Type": "application/json"}, []byte(body))
}

// wants sends a request, and returns the answer's body.
func (s *diskService) wants(t *testing.T, status int, method, path, body string) string {
	t.Helper()
	got, answer := s.send(t, method, path, body)
	if got != status {
		t.Errorf("%s %s: %d %s, want %d", method, path, got, answer, status)
	}
	return answer
}

// eventually waits until a path answers with the status.
func (s *diskService) eventually(t *testing.T, status int, path string) {
	t.Helper()
	until(t, func() error {
		if got, body := s.send(t, http.MethodGet, path, ""); got != status {
			return fmt.Errorf("GET %s: %d %s, want %d", path, got, body, status)
		}
		return nil
	})
}

// eventuallySays waits until a path's answer has the text in it.
func (s *diskService) eventuallySays(t *testing.T, text, path string) {
	t.Helper()
	until(t, func() error {
		if got, body := s.send(t, http.MethodGet, path, ""); !strings.Contains(body, text) {
			return fmt.Errorf("GET %s: %d %s, want %s", path, got, body, text)
		}
		return nil
	})
}

// until waits until try returns nil.
func until(t *testing.T, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A diskUpload is an upload that was begun, and how its file is sent.
type diskUpload struct {
	ID      string
	Request struct {
		Method, URL string
		Headers     map[string]string
	}
}

func (s *diskService) beginUpload(t *testing.T, file []byte) diskUpload {
	t.Helper()
	var u diskUpload
	body := s.wants(t, http.StatusCreated, http.MethodPost, "/uploads", declare(file))
	if err := json.Unmarshal([]byte(body), &u); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u diskUpload) put(t *testing.T, file []byte) (int, string) {
	t.Helper()
	return do(t, u.Request.Method, u.Request.URL, u.Request.Headers, file)
}

func do(t *testing.T, method, url string, headers map[string]string, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
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

// A lockedBuffer is written by a process while the test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// noSmallDisk skips the test where there can be no file system of its own, and
// fails it where nothing may be skipped, as in make test.
func noSmallDisk(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("ENGINES_REQUIRED") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
