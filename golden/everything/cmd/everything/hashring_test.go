package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/orders/internal/hashring"
	"example.com/orders/internal/waittest"
)

// hashringEnv is that of members which join the one that listens at the first
// address, and find out within seconds who is gone.
func hashringEnv(t *testing.T) map[string]string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil { // free for the first member
		t.Fatal(err)
	}
	return map[string]string{
		"HASHRING_JOIN": listener.Addr().String(), "HASHRING_PROBE_INTERVAL": "300ms", "HASHRING_LEASE": "2s",
		"HASHRING_QUORUM": "2", "HASHRING_WAIT": "15s",
	}
}

func hashringFirst(env map[string]string) map[string]string {
	first := map[string]string{"HASHRING_GOSSIP_ADDR": env["HASHRING_JOIN"]}
	for k, v := range env {
		first[k] = v
	}
	return first
}

func hashringMembers(t *testing.T, url string, want int) {
	t.Helper()
	waittest.Until(t, func() error {
		_, metrics := get(t, url+"/metrics")
		status, ready := get(t, url+"/readyz")
		if status != http.StatusOK {
			return errors.New(ready)
		}
		return contains(metrics, fmt.Sprintf("\nhashring_members %d\n", want))
	})
}

// hashringEdit returns how many edits the document has, and who has it.
func hashringEdit(t *testing.T, url, id string) (edits int, owner string) {
	t.Helper()
	status, body := send(t, http.MethodPost, url+"/documents/"+id+"/edits", `{"text":"two words"}`)
	var answer documentAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s %v", id, status, body, err)
	}
	return answer.Edits, answer.Owner
}

func TestHashringAlone(t *testing.T) {
	s := startService(t, nil)
	status, _ := get(t, s.URL+"/documents/plan")
	mustEqual(t, "a document that is not there", status, http.StatusNotFound)
	for i := range 3 {
		edits, _ := hashringEdit(t, s.URL, "plan")
		mustEqual(t, "edits", edits, i+1)
	}
	status, body := get(t, s.URL+"/documents/plan")
	mustEqual(t, "status", status, http.StatusOK)
	if err := contains(body, `"edits":3,"words":6,`); err != nil {
		t.Error(err)
	}
	for body, want := range map[string]int{
		`{"text":""}`: http.StatusBadRequest, `{"words":1}`: http.StatusBadRequest,
		`{"text":"` + strings.Repeat("x", 1025) + `"}`: http.StatusBadRequest, `{`: http.StatusBadRequest,
	} {
		status, _ := send(t, http.MethodPost, s.URL+"/documents/plan/edits", body)
		mustEqual(t, body, status, want)
	}
	status, _ = get(t, s.URL+"/documents/a.b")
	mustEqual(t, "an id that is none", status, http.StatusBadRequest)
}

// Three processes: what the killed one had in memory is gone, and its documents
// have another owner; the rest is as it was.
func TestHashringKill(t *testing.T) {
	env := hashringEnv(t)
	members := []*serviceProcess{startProcess(t, hashringFirst(env)), startProcess(t, env), startProcess(t, env)}
	for _, m := range members {
		hashringMembers(t, m.URL, 3)
	}
	owners := make(map[string]string)
	name := ""
	for i := range 30 {
		id := "doc" + strconv.Itoa(i)
		for j, m := range members {
			edits, owner := hashringEdit(t, m.URL, id)
			mustEqual(t, id, edits, j+1)
			owners[id] = owner
		}
	}
	_, metrics := get(t, members[2].URL+"/metrics")
	members[2].Kill()
	for _, m := range members[:2] {
		hashringMembers(t, m.URL, 2)
	}
	kept, lost := 0, 0
	for id, owner := range owners {
		switch edits, now := hashringEdit(t, members[0].URL, id); {
		case edits == 4 && now != "":
			kept++
		case edits == 1 && now != owner:
			lost, name = lost+1, owner
		default:
			t.Errorf("%s of %s: %d edits at %s", id, owner, edits, now)
		}
	}
	if kept == 0 || lost == 0 {
		t.Errorf("%d documents kept, %d lost", kept, lost)
	}
	if err := contains(metrics, fmt.Sprintf("\nhashring_keys %d\n", lost)); err != nil {
		t.Errorf("lost is what %s had: %v", name, err)
	}
}

// A member that stops in order takes nothing with it.
func TestHashringLeave(t *testing.T) {
	env := hashringEnv(t)
	env["HASHRING_QUORUM"] = "1"
	firstEnv := hashringFirst(env)
	firstEnv["HASHRING_NAME"] = "first"
	first := startProcess(t, firstEnv)
	hashringMembers(t, first.URL, 1)
	second := startService(t, env)
	hashringMembers(t, first.URL, 2)
	hashringMembers(t, second.URL, 2)
	owners := make(map[string]int)
	for i := range 30 {
		_, owner := hashringEdit(t, second.URL, "doc"+strconv.Itoa(i))
		owners[owner]++
	}
	mustEqual(t, "owners", len(owners), 2)
	for i := range 30 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, second.URL+"/documents/doc"+strconv.Itoa(i), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, _ := do(t, req)
		mustEqual(t, "request ids of an answer", len(resp.Header.Values("X-Request-Id")), 1)
	}
	_, metrics := get(t, first.URL+"/metrics")
	want := fmt.Sprintf(`http_request_duration_seconds_count{method="POST",route="POST /documents/{id}/edits",status="200"} %d`, owners["first"])
	if err := contains(metrics, want); err != nil {
		t.Errorf("what was forwarded counts where it is answered: %v", err)
	}
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
	for i := range 30 {
		edits, _ := hashringEdit(t, first.URL, "doc"+strconv.Itoa(i))
		mustEqual(t, "edits of a document", edits, 2)
	}
}

// What stops before the ring may take all the time that there is: by then a member
// has handed over what it had.
func TestHashringLeavesBeforeOthersStop(t *testing.T) {
	env := hashringEnv(t)
	env["HASHRING_QUORUM"] = "1"
	firstEnv := hashringFirst(env)
	firstEnv["HASHRING_NAME"] = "first"
	first := startProcess(t, firstEnv)
	hashringMembers(t, first.URL, 1)
	stopping, release := make(chan struct{}), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	second := startRun(t, env, func(ctx context.Context, getenv func(string) string, stdout, stderr io.Writer) error {
		app := newApp()
		stuck := part{"stuck", func(*settings) start {
			return func(context.Context) error {
				app.life.OnStop("stuck", func(context.Context) error { close(stopping); <-release; return nil })
				return nil
			}
		}}
		return app.run(ctx, getenv, append(app.parts(), stuck), stdout, stderr)
	})
	t.Cleanup(free)
	hashringMembers(t, first.URL, 2)
	hashringMembers(t, second.URL, 2)
	owners := make(map[string]int)
	for i := range 30 {
		_, owner := hashringEdit(t, second.URL, "doc"+strconv.Itoa(i))
		owners[owner]++
	}
	mustEqual(t, "owners", len(owners), 2)
	stopped := make(chan error, 1)
	go func() { stopped <- second.Stop() }()
	<-stopping
	waittest.Until(t, func() error {
		_, metrics := get(t, first.URL+"/metrics")
		return contains(metrics, "\nhashring_keys 30\n")
	})
	for i := range 30 {
		edits, owner := hashringEdit(t, first.URL, "doc"+strconv.Itoa(i))
		mustEqual(t, "edits of a document", edits, 2)
		mustEqual(t, "its owner", owner, "first")
	}
	free()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A hashringEditor edits documents, one after the other and time and again, by way of
// several members in turn, and checks that each edit is counted once: after the one
// before it, or anew where the document was lost with its owner.
type hashringEditor struct {
	urls  []string
	ids   []string
	edits map[string]int // as last answered
	maybe map[string]int // since then, not known to be done
	lost  map[string]int // times that it began anew
	sent  atomic.Int64
}

func (e *hashringEditor) round() error {
	for _, id := range e.ids {
		url := e.urls[int(e.sent.Add(1))%len(e.urls)]
		resp, err := http.Post(url+"/documents/"+id+"/edits", "application/json", strings.NewReader(`{"text":"two words"}`))
		if err != nil {
			return err
		}
		var answer documentAnswer
		err = errors.Join(json.NewDecoder(resp.Body).Decode(&answer), resp.Body.Close())
		if resp.StatusCode == http.StatusServiceUnavailable {
			e.maybe[id]++
			continue
		}
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s, %w", id, resp.Status, err)
		}
		switch last, most := e.edits[id], 1+e.maybe[id]; {
		case answer.Edits > last && answer.Edits <= last+most:
		case answer.Edits <= most:
			e.lost[id]++
		default:
			return fmt.Errorf("%s: %d edits by %s after %d, and %d that may be done", id, answer.Edits, answer.Owner, last, e.maybe[id])
		}
		e.edits[id], e.maybe[id] = answer.Edits, 0
	}
	return nil
}

// A member is killed while another joins and documents are edited: those that it had
// begin anew, once. No other is lost, and no edit is counted twice.
func TestHashringKillDuringChurn(t *testing.T) {
	env := hashringEnv(t)
	start := func(name string, env map[string]string) *serviceProcess {
		named := map[string]string{"HASHRING_NAME": name}
		for k, v := range env {
			named[k] = v
		}
		return startProcess(t, named)
	}
	members := []*serviceProcess{start("a", hashringFirst(env)), start("b", env)}
	killed := start("killed", env)
	for _, m := range append(members, killed) {
		hashringMembers(t, m.URL, 3)
	}
	had := func(id string, members ...string) bool {
		return hashring.NewRing(members).Owner(hashring.PartitionOf(id)) == "killed"
	}
	var editors [4]hashringEditor
	for i := range editors {
		e := &editors[i]
		e.edits, e.maybe, e.lost = make(map[string]int), make(map[string]int), make(map[string]int)
		e.urls = []string{members[0].URL, members[1].URL}
		for j := range 6 {
			e.ids = append(e.ids, fmt.Sprintf("doc%d-%d", i, j))
		}
	}
	stop := make(chan struct{})
	var editing sync.WaitGroup
	for i := range editors {
		editing.Go(func() {
			for stopping := false; !stopping; {
				select {
				case <-stop:
					stopping = true // after one more round
				default:
				}
				if err := editors[i].round(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	waittest.Until(t, func() error {
		for i := range editors {
			if sent := editors[i].sent.Load(); sent < 20 {
				return fmt.Errorf("%d edits were sent by one editor", sent)
			}
		}
		return nil
	})
	late := start("late", env) // is joining
	killed.Kill()
	for _, m := range append(members, late) {
		hashringMembers(t, m.URL, 3)
	}
	close(stop)
	editing.Wait()
	lost, kept := 0, 0
	for i := range editors {
		e := &editors[i]
		for _, id := range e.ids {
			possible := had(id, "a", "b", "killed") || had(id, "a", "b", "killed", "late")
			if e.lost[id] > 1 || e.lost[id] == 1 && !possible {
				t.Errorf("%s began anew %d times", id, e.lost[id])
			}
			if lost += e.lost[id]; !possible {
				kept++
			}
		}
	}
	if lost == 0 || kept == 0 {
		t.Errorf("%d documents were lost, %d could not be: nothing was tried", lost, kept)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestHashringContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"HASHRING_WAIT": "15s", "HASHRING_FORWARD_TIMEOUT": "15s"},
		"HASHRING_FORWARD_TIMEOUT=15s: after HASHRING_WAIT=15s an answer may take 31s, which must not be more than HTTP_WRITE_TIMEOUT=30s")
	refuseTogether(t, map[string]string{"HASHRING_WAIT": "15s", "HASHRING_FORWARD_TIMEOUT": "14s"}, "")
}
