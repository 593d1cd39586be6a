package polling_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/polling"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/polling/scores"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

// However many wait, a change is read once, and told to all.
func TestAChangeIsToldToAllAndReadOnce(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	const callers = 100
	answers := f.park(t, callers, "?wait=1m", f.tag(t))
	loads := f.store.loads.Load()
	f.put(t, 1)
	f.Changed("final")
	spread := make(map[string]bool)
	for range callers {
		a := <-answers
		if a.err != nil || a.code != 200 || a.body != `{"home":1,"away":0}`+"\n" || a.header.Get("ETag") == "" {
			t.Fatalf("%+v", a)
		}
		// 100 at 1,000 a second: they are asked back within 100 ms.
		ms, err := strconv.Atoi(a.header.Get("Retry-After-Ms"))
		if err != nil || ms > 100 {
			t.Errorf("Retry-After-Ms: %q", a.header.Get("Retry-After-Ms"))
		}
		spread[a.header.Get("Retry-After-Ms")] = true
	}
	if n := f.store.loads.Load() - loads; n != 1 {
		t.Errorf("the change was read %d times", n)
	}
	if len(spread) < 10 {
		t.Errorf("100 callers are asked back at %d times", len(spread))
	}
	f.await(t, "polling_waiters", 0)
	f.await(t, "polling_answers_total", callers, "changed")
	f.await(t, "polling_wait_seconds", callers)
}

// A wait is longer than the server's timeouts, ends with 304, and leaves the
// connection as it was.
func TestAWaitTimesOut(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	tag := f.tag(t)
	for range 2 {
		begin := time.Now()
		a := f.get(t, "?wait=2500ms", "If-None-Match", tag)
		if took := time.Since(begin); a.code != 304 || took < 2200*time.Millisecond {
			t.Errorf("%d after %s", a.code, took)
		}
		if a.header.Get("Retry-After") != "0" || a.header.Get("ETag") != tag {
			t.Errorf("header %v", a.header)
		}
	}
	f.await(t, "polling_answers_total", 2, "timed_out")
}

func TestWhoNeedNotWaitDoesNot(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	tag := f.tag(t)
	for _, headers := range [][]string{nil, {"If-None-Match", "*"}, {"If-None-Match", "x"}, {"If-None-Match", `"x"`}, {"If-None-Match", tag, "If-Match", tag}} {
		f.get(t, "?wait=1m", headers...)
	}
	f.store.onVersion = func(v polling.Version, err error) (polling.Version, error) { v.Final = true; return v, err }
	if a := f.get(t, "?wait=1m", "If-None-Match", tag); a.code != 304 || a.header.Get("Retry-After") != "" {
		t.Errorf("what is final: %d, Retry-After %q", a.code, a.header.Get("Retry-After"))
	}
	if n := f.metric(t, "polling_wait_seconds"); n != 0 {
		t.Errorf("%v waited", n)
	}
}

func TestWaitIsReadAndBounded(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.MaxWait = 20 * time.Millisecond
	f := setup(t, config)
	tag := f.tag(t)
	for wait, want := range map[string]int{
		"10ms": 304, "0": 304, "1h": 304, "3600": 304, "2147483647": 304, "0.01s": 304,
		"-1s": 400, "-1": 400, "soon": 400, "1": 304, "1.5": 400, "300000h": 304, "NaN": 400,
		// Too large for what they are read into.
		"9999999999": 304, "99999999999999999999": 304, "10000000h": 304, "1h99999999999999999999.5s": 304,
		"-99999999999999999999": 400, "-10000000h": 400, "10000000h1": 400, "99999999999999999999x": 400, "1.h5": 400, ".h": 400,
	} {
		if a := f.get(t, "?wait="+wait, "If-None-Match", tag); a.code != want {
			t.Errorf("wait=%s: %d %s, want %d", wait, a.code, a.body, want)
		}
	}
}

// Without room to wait the answer comes at once, and is no error.
func TestWhereThereIsNoRoomToWait(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.MaxWaiters, config.MaxKeyWaiters = 3, 2
	f := setup(t, config)
	if err := f.store.Put("other", scores.Score{}, nil); err != nil {
		t.Fatal(err)
	}
	tag := f.tag(t)
	answers := f.park(t, 2, "?wait=1m", tag)
	full := func() {
		t.Helper()
		if a := f.get(t, "?wait=1m", "If-None-Match", tag); a.code != 304 || a.header.Get("Retry-After") != "5" {
			t.Errorf("%d, Retry-After %q", a.code, a.header.Get("Retry-After"))
		}
	}
	full() // for this match
	final := f.url
	f.url = strings.TrimSuffix(final, "final") + "other"
	otherTag := f.tag(t)
	other := f.park(t, 1, "?wait=1m", otherTag)
	if a := f.get(t, "?wait=1m", "If-None-Match", otherTag); a.code != 304 { // in all
		t.Errorf("%d", a.code)
	}
	f.await(t, "polling_answers_total", 2, "full")
	f.url = final
	if a := f.get(t, "?wait=1m", "If-None-Match", `"x"`); a.code != 200 {
		t.Errorf("who need not wait: %d", a.code)
	}
	f.put(t, 1)
	f.Changed("final")
	for range 2 {
		if a := <-answers; a.code != 200 {
			t.Errorf("%+v", a)
		}
	}
	f.Drain()
	if a := <-other; a.code != 304 {
		t.Errorf("%+v", a)
	}
}

// When the service stops, all who wait are answered, and nobody waits any more.
func TestDrain(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	tag := f.tag(t)
	const callers = 100
	answers := f.park(t, callers, "?wait=1m", tag)
	reads := f.store.versions.Load() + f.store.loads.Load()
	begin := time.Now()
	f.Drain()
	f.Drain()
	for range callers {
		a := <-answers
		if a.err != nil || a.code != 304 || a.header.Get("ETag") != tag || !a.closes {
			t.Fatalf("%+v", a)
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if n := f.store.versions.Load() + f.store.loads.Load() - reads; n != 0 {
		t.Errorf("%d reads of the store to say that nothing has changed", n)
	}
	if a := f.get(t, "?wait=1m", "If-None-Match", tag); a.code != 304 || !a.closes || a.header.Get("Retry-After") != "5" {
		t.Errorf("one more: %+v", a)
	}
	f.await(t, "polling_answers_total", callers+1, "drained")
}

func TestACallerWhoGoesAwayMakesRoom(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	tag := f.tag(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan answer, 10)
	for range 10 {
		go func() { gone <- f.ask(ctx, http.MethodGet, "?wait=1m", "If-None-Match", tag) }()
	}
	f.await(t, "polling_waiters", 10)
	cancel()
	for range 10 {
		if a := <-gone; !errors.Is(a.err, context.Canceled) {
			t.Errorf("%+v", a)
		}
	}
	f.await(t, "polling_waiters", 0)
	f.await(t, "polling_answers_total", 10, "gone")
}

// A change that comes while the version is read is not missed.
func TestNoChangeFallsInBetween(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	tag := f.tag(t)
	var once sync.Once
	f.store.onVersion = func(v polling.Version, err error) (polling.Version, error) {
		once.Do(func() {
			f.put(t, 1)
			f.Changed("final")
		})
		return v, err // of before
	}
	if a := f.get(t, "?wait=1m", "If-None-Match", tag); a.code != 200 || !strings.Contains(a.body, `"home":1`) {
		t.Errorf("%+v", a)
	}
}

// A version that a caller has, by one of its tags, does not end the wait.
func TestAChangeThatIsNoneGoesOnWaiting(t *testing.T) {
	t.Parallel()
	f := setup(t, testConfig())
	first := f.tag(t)
	f.put(t, 1)
	second := f.tag(t)
	answers := f.park(t, 3, "?wait=1m", first+", "+second)
	for range 5 {
		loads := f.store.loads.Load()
		f.Changed("final") // but it has not
		waittest.Until(t, func() error {
			if f.store.loads.Load() == loads {
				return errors.New("nobody has looked")
			}
			return nil
		})
	}
	select {
	case a := <-answers:
		t.Fatalf("%+v", a)
	default:
	}
	f.put(t, 2)
	f.Changed("final")
	for range 3 {
		if a := <-answers; a.code != 200 || !strings.Contains(a.body, `"home":2`) {
			t.Errorf("%+v", a)
		}
	}
}

// What another instance changes is seen by looking, once for all who wait.
func TestAChangeOfAnotherInstance(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.CheckInterval = 10 * time.Millisecond
	store := &watched{Store: scores.New(100)}
	here, there := share(t, config, store), share(t, testConfig(), store)
	here.put(t, 0)
	answers := here.park(t, 50, "?wait=1m", here.tag(t))
	store.versions.Store(0)
	here.run(t)
	waittest.Until(t, func() error {
		if n := here.metric(t, "polling_reads_total", "check", "ok"); n < 3 {
			return fmt.Errorf("%v checks", n)
		}
		return nil
	})
	versions := store.versions.Load()
	if checks := here.metric(t, "polling_reads_total", "check", "ok"); float64(versions) > checks+1 { // one may be under way
		t.Errorf("%d reads of the version in %v checks", versions, checks)
	}
	there.put(t, 7)
	there.Changed("final")
	for range 50 {
		if a := <-answers; a.code != 200 || !strings.Contains(a.body, `"home":7`) {
			t.Errorf("%+v", a)
		}
	}
}

// What is deleted while callers wait for it is not found, by all of them.
func TestDeletedWhileCallersWait(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.CheckInterval = 5 * time.Millisecond
	f := setup(t, config)
	answers := f.park(t, 5, "?wait=1m", f.tag(t))
	f.store.onVersion = func(polling.Version, error) (polling.Version, error) {
		return polling.Version{}, fmt.Errorf("match: %w", polling.ErrNotFound)
	}
	f.store.onLoad = func(any) (any, error) { return nil, polling.ErrNotFound }
	f.run(t)
	for range 5 {
		if a := <-answers; a.code != http.StatusNotFound {
			t.Errorf("%+v", a)
		}
	}
	if a := f.get(t, "?wait=1m", "If-None-Match", "*"); a.code != http.StatusNotFound {
		t.Errorf("%+v", a)
	}
	if n := f.metric(t, "polling_reads_total", "check", "error"); n != 0 {
		t.Errorf("%v errors: that something is not there is none", n)
	}
}

// A client that does not read its answer is cut off, and frees what it had.
func TestAStalledClientIsCutOff(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.WriteTimeout = 100 * time.Millisecond
	f := setup(t, config)
	tag := f.tag(t)
	large := strings.Repeat("x", 64<<20) // more than the sockets take
	f.store.onLoad = func(any) (any, error) { return large, nil }
	conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(f.url, "/final"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // it is cut off
	if _, err := fmt.Fprintf(conn, "GET /final?wait=1m HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\n\r\n", tag); err != nil {
		t.Fatal(err)
	}
	f.await(t, "polling_waiters", 1)
	f.put(t, 1)
	f.Changed("final")
	f.await(t, "polling_waiters", 0)
	if n, err := io.Copy(io.Discard, conn); err == nil && n >= int64(len(large)) {
		t.Errorf("got %d bytes", n)
	}
}

// Callers who don't wait are told times that differ, not shorter than the setting
// and not longer by more than the spread.
func TestCallersAreSpread(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.Retry, config.RetrySpread = 1500*time.Millisecond, 1
	f := setup(t, config)
	tag := f.tag(t)
	millis, seconds := make(map[int]bool), make(map[int]int)
	for range 300 {
		a := f.get(t, "", "If-None-Match", tag)
		ms, err := strconv.Atoi(a.header.Get("Retry-After-Ms"))
		s, err2 := strconv.Atoi(a.header.Get("Retry-After"))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if ms < 1500 || ms > 3000 || s < ms/1000 || s > ms/1000+1 {
			t.Errorf("Retry-After %d, Retry-After-Ms %d", s, ms)
		}
		millis[ms] = true
		seconds[s]++
	}
	if len(millis) < 100 || seconds[1] == 0 || seconds[2] == 0 || seconds[3] == 0 {
		t.Errorf("%d different milliseconds; seconds %v", len(millis), seconds)
	}
	// A version that says when it is due is asked for then.
	f.store.onVersion = func(v polling.Version, err error) (polling.Version, error) { v.Retry = time.Minute; return v, err }
	ms, err := strconv.Atoi(f.get(t, "", "If-None-Match", tag).header.Get("Retry-After-Ms"))
	if err != nil || ms < 60_000 || ms > 120_000 {
		t.Errorf("Retry-After-Ms %d, %v", ms, err)
	}
}
