package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/orders/internal/waittest"
)

// eventsourcingAnswer is what any of the bank's routes answers with.
type eventsourcingAnswer struct {
	Owner, State, Reason string
	Cents                int64
	Accounts             []eventsourcingBalance
	Events               []struct {
		Version int64
		Type    string
		Data    struct {
			Cents    int64
			Transfer string
		}
	}
}

type eventsourcingBalance struct {
	Account string
	Cents   int64
}

func eventsourcingGet(t testing.TB, url string) (answer eventsourcingAnswer) {
	t.Helper()
	status, body := get(t, url)
	mustEqual(t, url+": "+body, status, http.StatusOK)
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return answer
}

// eventsourcingOpen opens an account that holds cents.
func eventsourcingOpen(t testing.TB, url, id string, cents int64) {
	t.Helper()
	status, body := send(t, http.MethodPost, url+"/accounts", fmt.Sprintf(`{"id":%q,"owner":"Owner of %s"}`, id, id))
	mustEqual(t, body, status, http.StatusCreated)
	status, body = send(t, http.MethodPost, url+"/accounts/"+id+"/deposits", fmt.Sprintf(`{"cents":%d}`, cents))
	mustEqual(t, body, status, http.StatusOK)
}

// eventsourcingEnd waits until the transfer is over.
func eventsourcingEnd(t testing.TB, url, id string) (transfer eventsourcingAnswer) {
	t.Helper()
	waittest.Until(t, func() error {
		if transfer = eventsourcingGet(t, url+"/transfers/"+id); transfer.State == "requested" {
			return fmt.Errorf("transfer %s goes on", id)
		}
		return nil
	})
	return transfer
}

// eventsourcingListed waits until the list of accounts says what each holds.
func eventsourcingListed(t testing.TB, url string, want ...eventsourcingBalance) {
	t.Helper()
	waittest.Until(t, func() error {
		if diff := cmp.Diff(want, eventsourcingGet(t, url+"/accounts").Accounts); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}

func TestEventsourcingMovesMoney(t *testing.T) {
	s := startService(t, nil)
	eventsourcingOpen(t, s.URL, "ada", 1000)
	eventsourcingOpen(t, s.URL, "bob", 50)
	for id, body := range map[string]string{
		"t-1": `{"from":"ada","to":"bob","cents":300}`,
		"t-2": `{"from":"ada","to":"nobody","cents":100}`,
		"t-3": `{"from":"bob","to":"ada","cents":100000}`,
	} {
		status, answer := send(t, http.MethodPut, s.URL+"/transfers/"+id, body)
		mustEqual(t, answer, status, http.StatusAccepted)
		status, answer = send(t, http.MethodPut, s.URL+"/transfers/"+id, body)
		mustEqual(t, "the same again: "+answer, status, http.StatusAccepted)
	}
	mustEqual(t, "t-1", eventsourcingEnd(t, s.URL, "t-1").State, "completed")
	mustEqual(t, "t-2", eventsourcingEnd(t, s.URL, "t-2").Reason, "there is no account nobody")
	mustEqual(t, "t-3", eventsourcingEnd(t, s.URL, "t-3").Reason, "account bob holds less")
	mustEqual(t, "ada's", eventsourcingGet(t, s.URL+"/accounts/ada").Cents, 700)
	want := []eventsourcingBalance{
		{"ada", 700},
		{"bob", 350},
	}
	eventsourcingListed(t, s.URL, want...)
	status, body := send(t, http.MethodPost, s.URL+"/projections/balances/rebuild", "")
	mustEqual(t, body, status, http.StatusAccepted)
	eventsourcingListed(t, s.URL, want...)

	history := eventsourcingGet(t, s.URL+"/accounts/bob/events").Events
	if len(history) != 3 || history[0].Type != "account_opened" || history[2].Version != 3 || history[2].Data.Cents != 300 {
		t.Errorf("bob's history: %+v", history)
	}
	mustEqual(t, "bob's history after 2", len(eventsourcingGet(t, s.URL+"/accounts/bob/events?after=2").Events), 1)
	after := eventsourcingGet(t, s.URL+"/accounts?after=ada").Accounts
	if diff := cmp.Diff(want[1:], after); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEventsourcingRefuses(t *testing.T) {
	s := startService(t, nil)
	eventsourcingOpen(t, s.URL, "ada", 1)
	eventsourcingOpen(t, s.URL, "bob", 1)
	status, body := send(t, http.MethodPut, s.URL+"/transfers/t", `{"from":"ada","to":"bob","cents":1}`)
	mustEqual(t, body, status, http.StatusAccepted)
	for _, tt := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/accounts", `{"id":"ada","owner":"Ada"}`, 409, "account ada: is there already"},
		{"POST", "/accounts", `{"id":"","owner":"Ada"}`, 400, "id:"},
		{"POST", "/accounts", `{"id":"a.b","owner":"Ada"}`, 400, "id:"},
		{"POST", "/accounts", `{"id":"` + strings.Repeat("a", 65) + `","owner":"Ada"}`, 400, "id:"},
		{"POST", "/accounts", `{"id":"eve","owner":""}`, 400, "owner:"},
		{"POST", "/accounts", `{"id":"eve","owner":"a\u0000b"}`, 400, "owner:"},
		{"POST", "/accounts", `{"id":"eve","owner":"` + strings.Repeat("é", 101) + `"}`, 400, "owner:"},
		{"POST", "/accounts", `{"id":`, 400, ""},
		{"GET", "/accounts/eve", "", 404, "account eve: is not there"},
		{"GET", "/accounts/%00", "", 400, ""},
		{"GET", "/accounts/ada/events?after=-1", "", 400, "after:"},
		{"GET", "/accounts/ada/events?after=9223372036854775808", "", 400, "after:"},
		{"POST", "/accounts/eve/deposits", `{"cents":1}`, 404, "account eve"},
		{"POST", "/accounts/ada/deposits", `{"cents":0}`, 400, "cents:"},
		{"POST", "/accounts/ada/deposits", `{"cents":-1}`, 400, "cents:"},
		{"POST", "/accounts/ada/deposits", `{"cents":1000000000001}`, 400, "cents:"},
		{"POST", "/accounts/ada/deposits", `{"cents":1e30}`, 400, ""},
		{"PUT", "/transfers/t", `{"from":"ada","to":"bob","cents":2}`, 409, "transfer t: is there already"},
		{"PUT", "/transfers/a.b", `{"from":"ada","to":"bob","cents":1}`, 400, "id:"},
		{"PUT", "/transfers/t-2", `{"from":"","to":"bob","cents":1}`, 400, "from:"},
		{"PUT", "/transfers/t-2", `{"from":"ada","to":"/","cents":1}`, 400, "to:"},
		{"PUT", "/transfers/t-2", `{"from":"ada","to":"ada","cents":1}`, 400, "to:"},
		{"PUT", "/transfers/t-2", `{"from":"ada","to":"bob","cents":0}`, 400, "cents:"},
		{"GET", "/transfers/t-2", "", 404, "transfer t-2: is not there"},
		{"POST", "/projections/transfers/rebuild", "", 404, `no projection "transfers"`},
		{"POST", "/projections/eve/rebuild", "", 404, `no projection "eve"`},
	} {
		status, body := send(t, tt.method, s.URL+tt.path, tt.body)
		if err := contains(body, tt.says); err != nil || status != tt.status {
			// What is said is JSON, with its quotes escaped.
			if escaped := contains(body, strings.ReplaceAll(tt.says, `"`, `\"`)); escaped != nil || status != tt.status {
				t.Errorf("%s %s %s: %d, want %d; %v", tt.method, tt.path, tt.body, status, tt.status, err)
			}
		}
	}
	mustEqual(t, "what nobody opened has no history", len(eventsourcingGet(t, s.URL+"/accounts/eve/events").Events), 0)
}

// The service is killed again and again, while transfers come in and go on and the
// list is rebuilt. Each transfer that was accepted takes each of its steps once.
func TestEventsourcingKilledAmidTransfers(t *testing.T) {
	const accounts, start, kills, each = 4, 100_000, 4, 40
	env := defaultEnv(t)
	env["EVENTSOURCING_BATCH_EVENTS"] = "3"
	p := startProcess(t, env)
	name := func(i int) string { return fmt.Sprint("a", i%accounts) }
	for i := range accounts {
		eventsourcingOpen(t, p.URL, name(i), start)
	}
	for round := range kills {
		eventsourcingKillAmid(t, p, each, func(n int) (string, string) {
			return fmt.Sprintf("t-%d-%d", round, n), fmt.Sprintf(`{"from":%q,"to":%q,"cents":%d}`, name(n), name(n+1+round%3), 1+n)
		})
		p = startProcess(t, env)
		for n := range each { // a caller who got no answer asks again
			status, body := send(t, http.MethodPut, fmt.Sprintf("%s/transfers/t-%d-%d", p.URL, round, n),
				fmt.Sprintf(`{"from":%q,"to":%q,"cents":%d}`, name(n), name(n+1+round%3), 1+n))
			mustEqual(t, body, status, http.StatusAccepted)
		}
		status, body := send(t, http.MethodPost, p.URL+"/projections/balances/rebuild", "")
		mustEqual(t, body, status, http.StatusAccepted)
	}
	for round := range kills {
		for n := range each {
			mustEqual(t, "the transfer", eventsourcingEnd(t, p.URL, fmt.Sprintf("t-%d-%d", round, n)).State, "completed")
		}
	}
	var sum int64
	var balances []eventsourcingBalance
	steps := make(map[string]int)
	for i := range accounts {
		account := eventsourcingGet(t, p.URL+"/accounts/"+name(i))
		sum += account.Cents
		balances = append(balances, eventsourcingBalance{name(i), account.Cents})
		eventsourcingSteps(t, p.URL, name(i), steps)
	}
	mustEqual(t, "cents in all", sum, accounts*start)
	mustEqual(t, "withdrawals and deposits", len(steps), 2*kills*each)
	for step, times := range steps {
		mustEqual(t, step, times, 1)
	}
	eventsourcingListed(t, p.URL, balances...)
}

// eventsourcingKillAmid sends transfers from four callers at once, and kills the
// process when half of them have been accepted.
func eventsourcingKillAmid(t *testing.T, p *serviceProcess, transfers int, transfer func(int) (id, body string)) {
	t.Helper()
	accepted := make(chan error, transfers)
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for n := caller; n < transfers; n += 4 {
				id, body := transfer(n)
				accepted <- eventsourcingPut(t, p.URL+"/transfers/"+id, body)
			}
		})
	}
	for range transfers / 2 {
		if err := <-accepted; err != nil {
			t.Error(err)
		}
	}
	p.Kill()
	callers.Wait() // the others were answered, or not
}

func eventsourcingPut(t *testing.T, url, body string) error {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	return nil
}

// eventsourcingSteps counts what each transfer did to an account.
func eventsourcingSteps(t testing.TB, url, account string, steps map[string]int) {
	t.Helper()
	for after := int64(0); ; {
		events := eventsourcingGet(t, fmt.Sprintf("%s/accounts/%s/events?after=%d", url, account, after)).Events
		for _, e := range events {
			mustEqual(t, account+": the next version", e.Version, after+1)
			after = e.Version
			if e.Data.Transfer != "" {
				steps[e.Type+" by "+e.Data.Transfer]++
			}
		}
		if len(events) == 0 {
			return
		}
	}
}

// An event that this service does not know yet, as of a newer one beside it, stops
// the projections and nothing else. They go on when it is known, or gone.
func TestEventsourcingProjectionStandsStill(t *testing.T) {
	s := startService(t, map[string]string{"EVENTSOURCING_POLL_INTERVAL": "20ms"})
	eventsourcingOpen(t, s.URL, "ada", 100)
	eventsourcingListed(t, s.URL, eventsourcingBalance{"ada", 100})
	eventsourcingExec(t, s.Env, `INSERT INTO eventsourcing_events (stream, version, type, schema_version, data, recorded_at) VALUES ('account-eve', 1, 'account_frozen', 1, '{}', 1)`)
	failing := `eventsourcing_failures_total{projection="balances"} `
	waittest.Until(t, func() error {
		_, metrics := get(t, s.URL+"/metrics")
		if strings.Contains(metrics, failing+"0\n") {
			return errors.New("no failure is counted")
		}
		if strings.Contains(metrics, `eventsourcing_lag_seconds{projection="balances"} 0`+"\n") {
			return errors.New("no lag is shown")
		}
		return contains(metrics, failing)
	})
	status, body := send(t, http.MethodPost, s.URL+"/accounts/ada/deposits", `{"cents":11}`)
	mustEqual(t, body, status, http.StatusOK)
	mustEqual(t, "the account", eventsourcingGet(t, s.URL+"/accounts/ada").Cents, 111)
	list := eventsourcingGet(t, s.URL+"/accounts").Accounts
	if len(list) != 1 || list[0].Cents != 100 {
		t.Errorf("the list went on: %+v", list)
	}
	status, body = get(t, s.URL+"/accounts/eve")
	mustEqual(t, body, status, http.StatusServiceUnavailable)

	eventsourcingExec(t, s.Env, `DELETE FROM eventsourcing_events WHERE type = 'account_frozen'`)
	eventsourcingListed(t, s.URL, eventsourcingBalance{"ada", 111})
	waittest.Until(t, func() error {
		_, metrics := get(t, s.URL+"/metrics")
		return errors.Join(
			contains(metrics, `eventsourcing_lag_seconds{projection="balances"} 0`+"\n"),
			contains(metrics, `eventsourcing_appended_total{type="account_deposited"} 2`+"\n"),
			contains(metrics, `eventsourcing_handled_total{projection="balances"} 3`+"\n"),
			contains(metrics, "eventsourcing_conflicts_total 0\n"))
	})
}

// eventsourcingOutage takes the database away, has everybody told to come again, and
// gives it back.
func eventsourcingOutage(t *testing.T, s *testService, away, back func()) {
	t.Helper()
	eventsourcingOpen(t, s.URL, "ada", 100)
	eventsourcingListed(t, s.URL, eventsourcingBalance{"ada", 100})
	away()
	for _, request := range []struct{ method, path, body string }{
		{"POST", "/accounts", `{"id":"bob","owner":"Bob"}`},
		{"POST", "/accounts/ada/deposits", `{"cents":1}`},
		{"PUT", "/transfers/t", `{"from":"ada","to":"bob","cents":1}`},
		{"POST", "/projections/balances/rebuild", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), request.method, s.URL+request.path, strings.NewReader(request.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, body := do(t, req)
		mustEqual(t, request.path+": "+body, resp.StatusCode, http.StatusServiceUnavailable)
		if resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", request.path)
		}
	}
	back()
	waittest.Until(t, func() error {
		status, body := send(t, http.MethodPost, s.URL+"/accounts/ada/deposits", `{"cents":1}`)
		if status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	eventsourcingListed(t, s.URL, eventsourcingBalance{"ada", 101})
}

func TestEventsourcingBadConfigurationNamesTheVariable(t *testing.T) {
	env := defaultEnv(t)
	env["EVENTSOURCING_POLL_INTERVAL"] = "0s"
	env["EVENTSOURCING_BATCH_EVENTS"] = "many"
	err := run(t.Context(), func(key string) string { return env[key] }, t.Output(), t.Output())
	for _, variable := range []string{"EVENTSOURCING_POLL_INTERVAL", "EVENTSOURCING_BATCH_EVENTS"} {
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%v does not name %s", err, variable)
		}
	}
}
