//go:build !temporal && !stepfunctions && postgres

package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database/databasetest"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

func workflowTestEnv(testing.TB) map[string]string {
	return map[string]string{"WORKFLOW_DBOS_LEASE": "1s"}
}

var workflowBadSettings = []string{"WORKFLOW_DBOS_MAX_CONNS=1", "WORKFLOW_DBOS_LEASE=0s", "WORKFLOW_STEP_ATTEMPTS=0", "WORKFLOW_UNDO_ATTEMPTS=-1"}

var workflowCharges = regexp.MustCompile(`(?m)^workflow_step_seconds_count\{result="ok",step="charge"\} (\d+)$`)

// Two instances on one database: no step is run by both, and when one dies the
// other carries its orders to their end.
func TestWorkflowTwoInstances(t *testing.T) {
	a := startProcess(t, map[string]string{"WORKFLOW_CANCEL_WINDOW": "3s"})
	b := startProcess(t, a.Env)
	const orders = 20
	for i := range orders {
		s := []*serviceProcess{a, b}[i%2]
		status, body := send(t, http.MethodPost, s.URL+"/fulfilments", workflowOrder(fmt.Sprint("i-", i)))
		mustEqual(t, body, status, http.StatusAccepted)
	}
	waittest.Until(t, func() error {
		sum := 0
		for _, s := range []*serviceProcess{a, b} {
			_, metrics := get(t, s.URL+"/metrics")
			if m := workflowCharges.FindStringSubmatch(metrics); m != nil {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					t.Fatal(err)
				}
				sum += n
			}
		}
		if sum > orders {
			t.Fatalf("%d orders were charged %d times", orders, sum)
		}
		if sum < orders {
			return fmt.Errorf("%d of %d are charged", sum, orders)
		}
		return nil
	})
	a.Kill()
	for i := range orders {
		id := fmt.Sprint("i-", i)
		w := workflowEnded(t, b.URL, id)
		if w.State != "completed" || w.steps() != "reserve charge ship finish" {
			t.Errorf("%s ended %s: %s", id, w.State, w.steps())
		}
	}
	_, metrics := get(t, b.URL+"/metrics")
	if m := workflowCharges.FindStringSubmatch(metrics); m == nil || m[1] != strconv.Itoa(orders/2) {
		t.Errorf("the one that took over charged %v orders, want its own %d", m, orders/2)
	}
}

// The database goes away, or answers nothing, while an order waits: callers are
// told in time, and the order goes on when it is back.
func TestWorkflowLosesTheDatabase(t *testing.T) {
	env, relay := databasetest.EnvThrough(t)
	env["DATABASE_STATEMENT_TIMEOUT"], env["DATABASE_CONNECT_TIMEOUT"] = "1s", "1s"
	env["WORKFLOW_CANCEL_WINDOW"] = "1s"
	s := startService(t, env)
	for name, brk := range map[string]func() (mend func()){
		"frozen": relay.Silence,
		"gone":   func() func() { relay.Cut(); return relay.Restore },
	} {
		t.Run(name, func(t *testing.T) {
			status, body := send(t, http.MethodPost, s.URL+"/fulfilments", workflowOrder(name))
			mustEqual(t, body, status, http.StatusAccepted)
			mend := brk()
			defer mend()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/fulfilments", strings.NewReader(workflowOrder("after-"+name)))
			if err != nil {
				t.Fatal(err)
			}
			resp, body := do(t, req)
			mustEqual(t, body, resp.StatusCode, http.StatusServiceUnavailable)
			if resp.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if _, metrics := get(t, s.URL+"/metrics"); contains(metrics, `workflow_started_total{result="refused"} 0`+"\n") == nil {
				t.Error("no start is counted as refused")
			}
			status, body = get(t, s.URL+"/readyz")
			mustEqual(t, body, status, http.StatusServiceUnavailable)
			mend()
			waittest.Until(t, func() error {
				if status, body := send(t, http.MethodPost, s.URL+"/fulfilments", workflowOrder("after-"+name)); status != http.StatusAccepted {
					return fmt.Errorf("%d %s", status, body)
				}
				return nil
			})
			for _, id := range []string{name, "after-" + name} {
				w := workflowEnded(t, s.URL, id)
				mustEqual(t, id+" "+w.Reason, w.State, "completed")
				mustEqual(t, id, w.steps(), "reserve charge ship finish")
			}
		})
	}
}
