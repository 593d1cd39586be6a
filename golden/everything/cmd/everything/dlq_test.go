package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/riverqueue/river"

	"example.com/orders/internal/httpapi"
	"example.com/orders/internal/waittest"
	"example.com/orders/internal/workers"
)

// A parcel is a job of these tests. The heavy ones are poison, until the scale
// is fixed. Each delivery leaves a line in a file.
type parcel struct {
	Number int  `json:"number"`
	Heavy  bool `json:"heavy"`
}

func (parcel) Kind() string { return "parcel" }

func (p parcel) InsertOpts() river.InsertOpts {
	if p.Heavy {
		return river.InsertOpts{MaxAttempts: 2}
	}
	return river.InsertOpts{MaxAttempts: 10}
}

// setupParcels is a part as an owner would add one.
func (a *App) setupParcels(s *settings) start {
	file, fixed := s.getenv("PARCELS_FILE"), s.getenv("PARCELS_FIXED") != ""
	return func(context.Context) error {
		workers.Add(a.workers, river.WorkFunc(func(_ context.Context, job *river.Job[parcel]) error {
			if job.Args.Heavy && !fixed {
				return errors.New("too heavy")
			}
			return appendLine(file, strconv.Itoa(job.Args.Number))
		}))
		a.mux.Handle("POST /parcels", httpapi.Handler(func(w http.ResponseWriter, r *http.Request) error {
			p, err := httpapi.DecodeJSON[parcel](r)
			if err != nil {
				return err
			}
			if _, err := a.workers.Enqueue(r.Context(), p, nil); err != nil {
				return err
			}
			w.WriteHeader(http.StatusAccepted)
			return nil
		}))
		return nil
	}
}

func appendLine(path, line string) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = fmt.Fprintln(f, line)
	return err
}

// TestParcelService is no test: it is the service with the part above, in a
// process of its own, for the test below to kill.
func TestParcelService(t *testing.T) {
	if os.Getenv("PARCELS_FILE") == "" {
		return
	}
	app := newApp()
	if err := app.run(t.Context(), os.Getenv, append(app.parts(), part{"parcels", app.setupParcels}), os.Stdout, os.Stderr); err != nil {
		t.Fatal(err)
	}
}

// startParcels runs the service above until the test ends or it is killed.
func startParcels(t testing.TB, env map[string]string) *serviceProcess {
	t.Helper()
	return startBinary(t, env, "-test.run=^TestParcelService$")
}

// A deadParcel is a dead letter as GET /dlq/{id} shows it.
type deadParcel struct {
	ID       string
	Error    string
	Reason   string
	Attempts int
	Payload  parcel
}

// getDead returns the dead letters of a kind by their ids, without payloads.
func getDead(t testing.TB, url, kind string) map[string]deadParcel {
	t.Helper()
	dead := make(map[string]deadParcel)
	for cursor := ""; ; {
		status, body := get(t, url+"/dlq?kind="+kind+"&cursor="+cursor)
		mustEqual(t, body, status, http.StatusOK)
		var page struct {
			Letters []deadParcel
			Next    string
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, letter := range page.Letters {
			if _, twice := dead[letter.ID]; twice {
				t.Errorf("%s is listed twice", letter.ID)
			}
			dead[letter.ID] = letter
		}
		if cursor = page.Next; cursor == "" {
			return dead
		}
	}
}

func getDeadParcel(t testing.TB, url, id string) deadParcel {
	t.Helper()
	status, body := get(t, url+"/dlq/"+id)
	mustEqual(t, body, status, http.StatusOK)
	var letter deadParcel
	if err := json.Unmarshal([]byte(body), &letter); err != nil {
		t.Fatal(err)
	}
	return letter
}

// delivered returns how often each parcel was delivered.
func delivered(t testing.TB, file string) map[int]int {
	t.Helper()
	text, err := os.ReadFile(file) //nolint:gosec // the test's own
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	count := make(map[int]int)
	for line := range strings.Lines(string(text)) {
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		count[n]++
	}
	return count
}

// The service is killed again and again while poison dies and while it comes
// back: each poisonous parcel is a dead letter once and the others are
// delivered; after the fix, each is delivered, and no letter is left.
func TestKilledWhilePoisonDies(t *testing.T) {
	t.Parallel() // it mostly waits
	const parcels, heavy = 60, 15
	env := defaultEnv(t)
	env["PARCELS_FILE"] = t.TempDir() + "/delivered"
	env["WORKERS_CONCURRENCY"] = "2"
	env["WORKERS_JOB_TIMEOUT"] = "1s"
	env["WORKERS_RESCUE_AFTER"] = "2s"
	env["WORKERS_POLL_INTERVAL"] = "50ms"
	env["DLQ_PAGE_SIZE"] = "4"
	// Where there is a budget for retries, this many killed jobs spend it: a job
	// that is put off for that is to come back within the test.
	env["RETRIES_MAX_DELAY"] = "1s"
	env["DLQ_REQUEUE_BURST"] = "1000"

	p := startParcels(t, env)
	for i := range parcels {
		status, body := send(t, http.MethodPost, p.URL+"/parcels", fmt.Sprintf(`{"number":%d,"heavy":%t}`, i, i%(parcels/heavy) == 0))
		mustEqual(t, body, status, http.StatusAccepted)
	}
	for _, died := range []int{1, heavy / 2} {
		waittest.Until(t, func() error {
			if n := len(getDead(t, p.URL, "parcel")); n < died {
				return fmt.Errorf("%d have died", n)
			}
			return nil
		})
		p.Kill()
		p = startParcels(t, env)
	}
	waittest.Until(t, func() error {
		dead, done := len(getDead(t, p.URL, "parcel")), len(delivered(t, env["PARCELS_FILE"]))
		if dead != heavy || done != parcels-heavy {
			return fmt.Errorf("%d are dead and %d delivered, want %d and %d", dead, done, heavy, parcels-heavy)
		}
		return nil
	})
	numbers := make(map[int]bool)
	for id := range getDead(t, p.URL, "parcel") {
		letter := getDeadParcel(t, p.URL, id)
		if !letter.Payload.Heavy || numbers[letter.Payload.Number] || letter.Attempts != 2 || letter.Error == "" {
			t.Errorf("no letter of one heavy parcel: %+v", letter)
		}
		numbers[letter.Payload.Number] = true
	}
	p.Kill()

	env["PARCELS_FIXED"] = "yes"
	p = startParcels(t, env)
	for range 3 {
		status, body := send(t, http.MethodPost, p.URL+"/dlq/requeue", fmt.Sprintf(`{"kind":"parcel","limit":%d}`, heavy/3))
		mustEqual(t, body, status, http.StatusOK)
		var requeued struct{ Requeued int }
		if err := json.Unmarshal([]byte(body), &requeued); err != nil {
			t.Fatal(err)
		}
		mustEqual(t, "requeued", requeued.Requeued, heavy/3)
		p.Kill() // while they run
		p = startParcels(t, env)
	}
	// A job that is killed in the one attempt that a requeue gave it is dead again,
	// and can be requeued again.
	waittest.Until(t, func() error {
		for id := range getDead(t, p.URL, "parcel") {
			status, body := send(t, http.MethodPost, p.URL+"/dlq/"+id+"/requeue", "")
			mustEqual(t, body, status, http.StatusAccepted)
		}
		_, metrics := get(t, p.URL+"/metrics")
		open := unended.FindAllString(metrics, -1)
		if done := len(delivered(t, env["PARCELS_FILE"])); done != parcels || len(open) > 0 {
			return fmt.Errorf("%d are delivered, want %d; jobs that have not ended: %q", done, parcels, open)
		}
		if n := len(getDead(t, p.URL, "parcel")); n > 0 {
			return fmt.Errorf("%d have died since", n)
		}
		return nil
	})
	mustEqual(t, "dead letters that are left", len(getDead(t, p.URL, "parcel")), 0)
	// A job whose process is killed between its work and the record of it runs
	// again, once for each of the six kills: ends are recorded in batches.
	for number, times := range delivered(t, env["PARCELS_FILE"]) {
		if times > 1+6 {
			t.Errorf("parcel %d was delivered %d times, want it repeated no more than once for each kill", number, times)
		}
	}
}

// unended matches the metric of parcels in a state that is not the last.
var unended = regexp.MustCompile(`workers_queue_depth\{kind="parcel",state="[a-z]+"\} [1-9]\d*`)
