package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the service itself, for tests that need it
// in a process of its own, to kill it; and sees that no test leaves a goroutine.
func TestMain(m *testing.M) {
	if os.Getenv("BE_THE_SERVICE") == "1" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// defaultEnv is a free port, a quiet log and whatever the parts need to have
// state of the test's own.
func defaultEnv(t testing.TB) map[string]string {
	t.Helper()
	env := map[string]string{"ADDR": "127.0.0.1:0", "LOG_LEVEL": "WARN"}
	if _, ok := t.(*testing.B); ok {
		env["LOG_LEVEL"] = "ERROR" // of engines that the benchmark leaves alone
	}
	for _, partEnv := range testEnv {
		maps.Copy(env, partEnv(t))
	}
	return env
}

// A testService is the whole service, running.
type testService struct {
	URL  string
	Env  map[string]string
	stop func() error
}

// startService runs the service in this process, with env over the defaults,
// until the test ends or Stop is called.
func startService(t testing.TB, env map[string]string) *testService {
	t.Helper()
	return startRun(t, env, run)
}

// startRun is as [startService], for what runs in the service's place: an app
// with routes of the test's own.
func startRun(t testing.TB, env map[string]string, run func(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) error) *testService {
	t.Helper()
	all := defaultEnv(t)
	maps.Copy(all, env)
	ctx, cancel := context.WithCancel(context.Background())
	stdout, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, func(key string) string { return all[key] }, w, t.Output())
		done <- err
		_ = w.CloseWithError(io.EOF) // never fails
	}()
	s := &testService{Env: all, stop: sync.OnceValue(func() error { cancel(); return <-done })}
	s.URL = readURL(t, stdout)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the service stopped with: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	if s.URL == "" {
		t.Fatalf("the service did not start: %v", s.stop())
	}
	return s
}

// Stop tells the service to stop, waits until it has, and returns its error.
func (s *testService) Stop() error { return s.stop() }

// A serviceProcess is the service in a process of its own.
type serviceProcess struct {
	URL string
	Env map[string]string
	cmd *exec.Cmd
}

// startProcess runs the service in a process of its own, with env over the
// defaults, until the test ends or it is killed.
func startProcess(t testing.TB, env map[string]string) *serviceProcess {
	t.Helper()
	all := defaultEnv(t)
	maps.Copy(all, env)
	all["BE_THE_SERVICE"] = "1"
	return startBinary(t, all)
}

// startBinary runs this test binary in a process of its own, as what env and the
// arguments make of it, until the test ends or it is killed.
func startBinary(t testing.TB, env map[string]string, args ...string) *serviceProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...) //nolint:gosec // it is this very test binary
	cmd.Env = os.Environ()
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &serviceProcess{Env: env, cmd: cmd}
	t.Cleanup(p.Kill)
	if p.URL = readURL(t, stdout); p.URL == "" {
		t.Fatal("the service did not start")
	}
	return p
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *serviceProcess) Kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()         // says that it was killed
}

// readURL returns the URL that the service says it listens on, or "" when it
// ends without saying so. What it says later is thrown away.
func readURL(t testing.TB, stdout io.Reader) string {
	t.Helper()
	lines := bufio.NewReader(stdout)
	line, _ := lines.ReadString('\n') // "" at the end
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	_, url, _ := strings.Cut(strings.TrimSpace(line), " listens on ")
	return url
}

// get returns the status and the body at url.
func get(t testing.TB, url string) (int, string) {
	t.Helper()
	return send(t, http.MethodGet, url, "")
}

// send sends body as JSON and returns the answer's status and body.
func send(t testing.TB, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, answer := do(t, req)
	return resp.StatusCode, answer
}

// do sends the request, and returns the answer and its body.
func do(t testing.TB, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // was read to its end
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// mustEqual fails the test when got is not want.
func mustEqual[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func contains(s, part string) error {
	if strings.Contains(s, part) {
		return nil
	}
	return fmt.Errorf("no %q in %q", part, s)
}

// reportTimes says how long something took, of all the times that it was done.
func reportTimes(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))] }
	b.ReportMetric(float64(at(.5).Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(at(.99).Microseconds())/1000, "p99-ms")
	b.Logf("%d times: min %s, p50 %s, p90 %s, p95 %s, p99 %s, p99.9 %s, max %s",
		len(took), at(0), at(.5), at(.9), at(.95), at(.99), at(.999), at(1))
}
