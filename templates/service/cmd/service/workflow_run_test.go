//go:build !temporal

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

type workflowAnswer struct {
	OrderID string `json:"order_id"`
	Cents   int
	Engine  string
	State   string
	Reason  string
	Step    string
	History []struct{ Step, Detail string }
}

func (a workflowAnswer) steps() string {
	var names []string
	for _, e := range a.History {
		names = append(names, e.Step)
	}
	return strings.Join(names, " ")
}

// workflowGet reads an order that is there.
func workflowGet(t testing.TB, service, id string) workflowAnswer {
	t.Helper()
	status, text := get(t, service+"/fulfilments/"+id)
	mustEqual(t, text, status, http.StatusOK)
	var a workflowAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return a
}

// workflowEnded waits until the order's workflow has ended.
func workflowEnded(t testing.TB, service, id string) workflowAnswer {
	t.Helper()
	var a workflowAnswer
	waittest.Until(t, func() error {
		if a = workflowGet(t, service, id); a.State == "running" {
			return fmt.Errorf("%s is at %s, after %s", id, a.Step, a.steps())
		}
		return nil
	})
	return a
}

func TestWorkflowFulfils(t *testing.T) {
	s := startService(t, map[string]string{"WORKFLOW_CANCEL_WINDOW": "1s"})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/fulfilments", strings.NewReader(workflowOrder("a-1")))
	if err != nil {
		t.Fatal(err)
	}
	resp, body := do(t, req)
	mustEqual(t, body, resp.StatusCode, http.StatusAccepted)
	mustEqual(t, "Location", resp.Header.Get("Location"), "/fulfilments/a-1")
	mustEqual(t, "Retry-After", resp.Header.Get("Retry-After"), "1")

	// The same again is the same order; another with its id is refused.
	status, body := send(t, http.MethodPost, s.URL+"/fulfilments", workflowOrder("a-1"))
	mustEqual(t, body, status, http.StatusAccepted)
	status, body = send(t, http.MethodPost, s.URL+"/fulfilments", strings.Replace(workflowOrder("a-1"), "4900", "4800", 1))
	mustEqual(t, body, status, http.StatusConflict)

	a := workflowEnded(t, s.URL, "a-1")
	mustEqual(t, "state", a.State, "completed")
	mustEqual(t, "steps", a.steps(), "reserve charge ship finish")
	status, body = send(t, http.MethodPost, s.URL+"/fulfilments/a-1/cancel", "")
	mustEqual(t, body, status, http.StatusConflict)

	status, body = send(t, http.MethodPost, s.URL+"/fulfilments", strings.Replace(workflowOrder("a-2"), "DE", "XX", 1))
	mustEqual(t, body, status, http.StatusAccepted)
	a = workflowEnded(t, s.URL, "a-2")
	mustEqual(t, "state", a.State, "compensated")
	mustEqual(t, "reason", a.Reason, "ship: nobody delivers to XX")
	mustEqual(t, "steps", a.steps(), "reserve charge refund release finish")

	_, metrics := get(t, s.URL+"/metrics")
	for _, line := range []string{
		`workflow_started_total{result="started"} 2`, `workflow_finished_total{outcome="completed"} 1`,
		`workflow_finished_total{outcome="compensated"} 1`, `workflow_finished_total{outcome="failed"} 0`,
		`workflow_step_seconds_count{result="permanent",step="ship"} 1`, `workflow_step_seconds_count{result="ok",step="refund"} 1`,
		`workflow_step_seconds_count{result="error",step="release"} 0`,
	} {
		if err := contains(metrics, line); err != nil {
			t.Errorf("no %s", line)
		}
	}
}

// Two orders come with one id at once: one caller gets 202, the other 409, and it is
// the first one's order that is fulfilled.
func TestWorkflowTwoOrdersWithOneID(t *testing.T) {
	s := startService(t, map[string]string{"WORKFLOW_CANCEL_WINDOW": "1s"})
	const ids = 40
	taken := map[string]int{}
	for i := range ids {
		id := fmt.Sprint("x-", i)
		var callers sync.WaitGroup
		var answers [2]struct {
			status int
			body   string
		}
		for j := range answers {
			callers.Go(func() {
				order := strings.Replace(workflowOrder(id), "4900", fmt.Sprint(4900+j), 1)
				answers[j].status, answers[j].body = send(t, http.MethodPost, s.URL+"/fulfilments", order)
			})
		}
		callers.Wait()
		first := 0
		if answers[0].status == http.StatusConflict {
			first = 1
		}
		mustEqual(t, answers[first].body, answers[first].status, http.StatusAccepted)
		mustEqual(t, answers[1-first].body, answers[1-first].status, http.StatusConflict)
		taken[id] = 4900 + first
	}
	for id, cents := range taken {
		a := workflowEnded(t, s.URL, id)
		mustEqual(t, id, a.State, "completed")
		mustEqual(t, id, a.Cents, cents)
		for _, e := range a.History {
			if e.Step == "charge" {
				mustEqual(t, id, e.Detail, fmt.Sprint(cents, " cents"))
			}
		}
	}
}

func TestWorkflowCancel(t *testing.T) {
	s := startService(t, map[string]string{"WORKFLOW_CANCEL_WINDOW": "2s"})
	status, body := send(t, http.MethodPost, s.URL+"/fulfilments", workflowOrder("c-1"))
	mustEqual(t, body, status, http.StatusAccepted)
	status, body = send(t, http.MethodPost, s.URL+"/fulfilments/c-1/cancel", "")
	mustEqual(t, body, status, http.StatusAccepted)
	a := workflowEnded(t, s.URL, "c-1")
	mustEqual(t, "state", a.State, "cancelled")
	mustEqual(t, "steps", a.steps(), "reserve charge refund release finish")
}

// The service stops while orders wait, and the next one goes on with them.
func TestWorkflowStopDrains(t *testing.T) {
	first := startService(t, map[string]string{"WORKFLOW_CANCEL_WINDOW": "2s"})
	const orders = 10
	for i := range orders {
		status, body := send(t, http.MethodPost, first.URL+"/fulfilments", workflowOrder(fmt.Sprint("d-", i)))
		mustEqual(t, body, status, http.StatusAccepted)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	next := startService(t, first.Env)
	for i := range orders {
		a := workflowEnded(t, next.URL, fmt.Sprint("d-", i))
		mustEqual(t, "state", a.State, "completed")
		mustEqual(t, "steps", a.steps(), "reserve charge ship finish")
	}
}

// The service is killed at each step of an order, and in the middle of many. What
// it has answered with 202 is carried to its end by those that follow, and nothing
// is done twice.
func TestWorkflowSurvivesKills(t *testing.T) {
	s := startProcess(t, map[string]string{"WORKFLOW_CANCEL_WINDOW": "1s"})
	again := func() {
		env := s.Env
		s.Kill()
		s = startProcess(t, env)
	}
	var ids []string
	for done := range 4 { // steps that are noted when it is killed
		id := fmt.Sprint("k-", done)
		ids = append(ids, id)
		status, body := send(t, http.MethodPost, s.URL+"/fulfilments", workflowOrder(id))
		mustEqual(t, body, status, http.StatusAccepted)
		waittest.Until(t, func() error {
			if a := workflowGet(t, s.URL, id); len(a.History) < done {
				return errors.New(a.steps())
			}
			return nil
		})
		again()
	}
	for round := range 3 {
		var senders sync.WaitGroup
		answered := make([]bool, 15)
		for i := range answered {
			senders.Go(func() {
				resp, err := http.Post(s.URL+"/fulfilments", "application/json", strings.NewReader(workflowOrder(fmt.Sprint("m-", round, "-", i)))) //nolint:noctx // the service is killed
				if err != nil {
					return
				}
				_ = resp.Body.Close() // nothing is read
				answered[i] = resp.StatusCode == http.StatusAccepted
			})
		}
		if round > 0 { // else it is killed while they are on their way
			senders.Wait()
		}
		s.Kill()
		senders.Wait()
		s = startProcess(t, s.Env)
		for i, ok := range answered {
			if ok {
				ids = append(ids, fmt.Sprint("m-", round, "-", i))
			}
		}
	}
	for _, id := range ids {
		a := workflowEnded(t, s.URL, id)
		if a.State != "completed" || a.steps() != "reserve charge ship finish" {
			t.Errorf("%s ended %s %s: %s", id, a.State, a.Reason, a.steps())
		}
	}
	t.Logf("%d orders were carried to their end", len(ids))
}
