package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"testing"
)

// An upload is looked at by a job, also where the service is killed in between.
func TestUploadWorkersInspect(t *testing.T) {
	storage := startUploadStorage(t)
	s := startProcess(t, storage.env)
	u, sums := beginZeros(t, s.URL, 1000, 16*mib)
	sendZeros(t, s.URL, u, sums, 1)
	uploadCall(t, http.MethodPost, s.URL+"/uploads/"+u.ID+"/complete", "", http.StatusOK)
	s.Kill()

	env := maps.Clone(s.Env)
	next := startProcess(t, env)
	workersEventually(t, func() error {
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
