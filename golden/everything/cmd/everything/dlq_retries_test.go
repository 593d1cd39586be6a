package main

import (
	"fmt"
	"net/http"
	"testing"

	"example.com/orders/internal/waittest"
)

// An error that can't heal goes straight to the dead letters, with no attempt
// more; one that may heal goes there after its attempts. Once the cause is gone,
// a requeue delivers.
func TestPermanentErrorsAreDeadAtOnce(t *testing.T) {
	receiver := startHookReceiver(t)
	env := retriesEnv(receiver)
	env["RETRIES_MAX_ATTEMPTS"] = "3"
	s := startService(t, env)
	wrong := fmt.Sprintf("jobs-%s", postHook(t, s, receiver.URL+"/wrong"))
	bad := fmt.Sprintf("jobs-%s", postHook(t, s, receiver.URL+"/bad"))
	var dead map[string]deadParcel
	waittest.Until(t, func() error {
		if dead = getDead(t, s.URL, "webhook"); len(dead) != 2 {
			return fmt.Errorf("%d are dead", len(dead))
		}
		return nil
	})
	for id, want := range map[string]struct {
		reason   string
		attempts int
	}{
		wrong: {"permanent", 1},
		bad:   {"attempts", 3},
	} {
		letter := dead[id]
		if letter.Reason != want.reason || letter.Attempts != want.attempts || letter.Error == "" {
			t.Errorf("%s: %+v, want the reason %q after %d", id, letter, want.reason, want.attempts)
		}
	}
	mustEqual(t, "calls that can't heal", receiver.called("/wrong"), 1)

	status, body := send(t, http.MethodPost, s.URL+"/dlq/"+bad+"/requeue", "")
	mustEqual(t, body, status, http.StatusAccepted)
	waittest.Until(t, func() error {
		if n := receiver.called("/bad"); n != 4 {
			return fmt.Errorf("%d calls", n)
		}
		if _, ok := getDead(t, s.URL, "webhook")[bad]; !ok {
			return fmt.Errorf("%s is not dead again", bad)
		}
		return nil
	})
}
