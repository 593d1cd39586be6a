package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"testing"

	"example.com/orders/internal/waittest"
)

// An upload is looked at by a job, also where the service is killed in between.
func TestUploadWorkersInspect(t *testing.T) {
	t.Parallel() // it mostly waits
	storage := startUploadStorage(t)
	env := maps.Clone(storage.env)
	// A job that was running when the service was killed is soon taken for dead.
	env["WORKERS_JOB_TIMEOUT"], env["WORKERS_RESCUE_AFTER"] = "2s", "3s"
	s := startProcess(t, env)
	u, sums := beginZeros(t, s.URL, 1000, 16*mib)
	sendZeros(t, s.URL, u, sums, 1)
	uploadCall(t, http.MethodPost, s.URL+"/uploads/"+u.ID+"/complete", "", http.StatusOK)
	s.Kill()

	next := startProcess(t, s.Env)
	waittest.Until(t, func() error {
		_, text := get(t, next.URL+"/uploads/"+u.ID)
		var answer struct {
			Details struct {
				Inspection struct {
					Job, Status, Detected string
					Plausible             bool
				}
			}
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		if in := answer.Details.Inspection; in.Job == "" || in.Status != "done" || in.Detected != "application/octet-stream" || !in.Plausible {
			return fmt.Errorf("the upload is %s", text)
		}
		return nil
	})
}
