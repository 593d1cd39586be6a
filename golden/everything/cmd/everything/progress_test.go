package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"example.com/orders/internal/browsertest"
	"example.com/orders/internal/waittest"
)

type progressAnswer struct {
	Job, State, Note     string
	Attempt, Done, Total int64
	Percent              *int
	AttemptEnded         bool `json:"attempt_ended"`
	Ended                bool
	Streams              []string
}

// progressOf returns what there is at url of a job's progress.
func progressOf(t testing.TB, url string) progressAnswer {
	t.Helper()
	status, body := get(t, url)
	mustEqual(t, body, status, http.StatusOK)
	return progressParse(t, body)
}

func progressParse(t testing.TB, text string) progressAnswer {
	t.Helper()
	var answer progressAnswer
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return answer
}

// progressAwait waits until what there is at url is as said.
func progressAwait(t testing.TB, url string, is func(progressAnswer) bool) (answer progressAnswer) {
	t.Helper()
	waittest.Until(t, func() error {
		if answer = progressOf(t, url); !is(answer) {
			return fmt.Errorf("%s: %+v", url, answer)
		}
		return nil
	})
	return answer
}

// progressImport begins an import, and returns where its progress is.
func progressImport(t testing.TB, url string, rows int) string {
	t.Helper()
	status, body := send(t, http.MethodPost, url+"/jobs", fmt.Sprintf(`{"kind":"import","args":{"list":"spring","rows":%d}}`, rows))
	mustEqual(t, body, status, http.StatusAccepted)
	var job struct{ ID string }
	if err := json.Unmarshal([]byte(body), &job); err != nil {
		t.Fatal(err)
	}
	return "/jobs/" + job.ID + "/progress"
}

func TestProgressOfAnImport(t *testing.T) {
	s := startService(t, map[string]string{"PROGRESS_IMPORT_PAUSE": "1ms"})
	at := s.URL + progressImport(t, s.URL, 2050)
	before := int64(0)
	p := progressAwait(t, at, func(p progressAnswer) bool {
		if p.Done < before || p.Attempt > 1 {
			t.Errorf("%d rows were done, and now: %+v", before, p)
		}
		before = p.Done
		return p.Ended
	})
	mustEqual(t, "state", p.State, "succeeded")
	mustEqual(t, "done", p.Done, 2050)
	mustEqual(t, "total", p.Total, 2050)
	mustEqual(t, "percent", *p.Percent, 100)
	mustEqual(t, "note", p.Note, "item 2050 of spring")
	mustEqual(t, "the last word", p.AttemptEnded, true)
	_, metrics := get(t, s.URL+"/metrics")
	for _, line := range []string{
		"progress_updates_total 22", `progress_writes_total{result="error"} 0`, `progress_published_total{result="error"} 0`,
		`progress_reads_total{result="ok"} `, `workers_jobs_enqueued_total{kind="progress_sweep"} `,
	} {
		if err := contains(metrics, line); err != nil {
			t.Error(err)
		}
	}
}

func TestProgressRefuses(t *testing.T) {
	s := startService(t, nil)
	for _, tt := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{http.MethodGet, "/jobs/4711/progress", "", http.StatusNotFound, "4711"},
		{http.MethodGet, "/jobs/x/progress", "", http.StatusNotFound, "x"},
		{http.MethodPost, "/jobs", `{"kind":"import","args":{"list":"","rows":1}}`, http.StatusUnprocessableEntity, "list:"},
		{http.MethodPost, "/jobs", `{"kind":"import","args":{"list":"a","rows":0}}`, http.StatusUnprocessableEntity, "rows:"},
		{http.MethodPost, "/jobs", `{"kind":"import","args":{"list":"a","rows":50001}}`, http.StatusUnprocessableEntity, "rows:"},
		{http.MethodGet, "/demo/progress", "", http.StatusOK, "<!doctype html>"},
		{http.MethodGet, "/demo/progress.js", "", http.StatusOK, "EventSource"},
	} {
		status, body := send(t, tt.method, s.URL+tt.path, tt.body)
		mustEqual(t, tt.path+" "+body, status, tt.status)
		if err := contains(body, tt.answer); err != nil {
			t.Error(err)
		}
	}
}

// The service is killed in the middle of a job: the progress stays where it was,
// and the job that runs again says so.
func TestProgressSurvivesAKill(t *testing.T) {
	t.Parallel() // it mostly waits
	env := map[string]string{"PROGRESS_IMPORT_PAUSE": "1h", "PROGRESS_WRITE_INTERVAL": "10ms", "WORKERS_JOB_TIMEOUT": "4s", "WORKERS_RESCUE_AFTER": "5s"}
	first := startProcess(t, env)
	at := progressImport(t, first.URL, 300)
	progressAwait(t, first.URL+at, func(p progressAnswer) bool { return p.Done == 100 })
	first.Kill()

	first.Env["PROGRESS_IMPORT_PAUSE"] = "1ms"
	second := startProcess(t, first.Env)
	p := progressOf(t, second.URL+at)
	if p.Done != 100 || p.Attempt != 1 || p.State != "running" || p.AttemptEnded {
		t.Errorf("after the kill: %+v", p)
	}
	p = progressAwait(t, second.URL+at, func(p progressAnswer) bool {
		if p.Attempt == 1 && p.Done != 100 {
			t.Errorf("went back without saying so: %+v", p)
		}
		return p.Ended
	})
	if p.Done != 300 || p.Attempt != 2 || p.State != "succeeded" {
		t.Errorf("at the end: %+v", p)
	}
}

// A real browser shows a bar that moves, by whatever way there is, and says how
// it ended.
func TestProgressInTheBrowser(t *testing.T) {
	s := startService(t, map[string]string{"PROGRESS_IMPORT_PAUSE": "100ms"})
	page := browsertest.Open(t, s.URL+"/demo/progress")
	page.Eval(`document.getElementById("rows").value = 3000, document.querySelector("button").click()`, nil)
	page.WaitFor(`document.getElementById("bar").value > 0 && document.getElementById("bar").value < 100`)
	var job string
	page.Eval(`document.getElementById("job").value`, &job)
	way := "asking"
	for _, stream := range progressOf(t, s.URL+"/jobs/"+job+"/progress").Streams {
		if stream == "events" {
			way = "events"
		}
	}
	page.WaitFor(fmt.Sprintf(`document.getElementById("by").value === %q`, way))
	page.WaitFor(`document.getElementById("state").value === "succeeded"`)
	var shown string
	page.Eval(`[document.getElementById("bar").value, document.getElementById("count").value, document.getElementById("attempt").value, document.getElementById("log").innerText].join("; ")`, &shown)
	mustEqual(t, "the end", strings.TrimSpace(shown), "100; 3000 of 3000; 1; succeeded at 3000 of 3000")

	page.Navigate(s.URL + "/demo/progress?job=4711")
	page.WaitFor(`document.getElementById("state").value.includes("no job")`)
}

func TestProgressContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"PROGRESS_WRITE_TIMEOUT": "26s"}, "PROGRESS_WRITE_TIMEOUT=26s: must not be more than SHUTDOWN_TIMEOUT=25s")
	refuseTogether(t, map[string]string{"PROGRESS_WRITE_TIMEOUT": "20s"}, "")
}
