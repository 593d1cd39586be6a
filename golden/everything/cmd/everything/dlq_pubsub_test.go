package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"example.com/orders/internal/waittest"
)

// The service is killed again and again while payments come in that can't be
// handled: in the end each of them is a dead letter once, and no other is.
func TestKilledWhilePaymentsDie(t *testing.T) {
	const payments, bad = 40, 10
	env := defaultEnv(t)
	env["PUBSUB_ACK_WAIT"] = "1s"
	env["DLQ_STREAM_ATTEMPTS"] = "2"
	env["DLQ_STREAM_BACKOFF"] = "100ms"
	env["DLQ_PAGE_SIZE"] = "4"
	p := startProcess(t, env)
	topics := make(map[string]bool)
	for i := range payments {
		amount := 100
		topic := fmt.Sprintf("payments.%d", i)
		if i%(payments/bad) == 0 {
			amount = 0
			topics[topic] = true
		}
		status, body := send(t, http.MethodPost, p.URL+"/topics/"+topic+"/messages", fmt.Sprintf(`{"data":{"amount":%d}}`, amount))
		mustEqual(t, body, status, http.StatusCreated)
	}
	for _, died := range []int{1, bad / 2, bad} {
		waittest.Until(t, func() error {
			if n := len(getDead(t, p.URL, "payments")); n < died {
				return fmt.Errorf("%d have died", n)
			}
			return nil
		})
		p.Kill()
		p = startProcess(t, env)
	}
	for id := range getDead(t, p.URL, "payments") {
		status, body := get(t, p.URL+"/dlq/"+id)
		mustEqual(t, body, status, http.StatusOK)
		var letter struct{ Details struct{ Topic string } }
		if err := json.Unmarshal([]byte(body), &letter); err != nil {
			t.Fatal(err)
		}
		if !topics[letter.Details.Topic] {
			t.Errorf("%s should not be here, or is here twice", body)
		}
		delete(topics, letter.Details.Topic)
	}
	if len(topics) > 0 {
		t.Errorf("lost: %v", topics)
	}
	// Both sources are one list, and are requeued and discarded alike.
	for id := range getDead(t, p.URL, "payments") {
		status, body := send(t, http.MethodPost, p.URL+"/dlq/"+id+"/requeue", "")
		mustEqual(t, body, status, http.StatusAccepted)
		waittest.Until(t, func() error { // it dies again
			if _, ok := getDead(t, p.URL, "payments")[id]; !ok {
				return fmt.Errorf("%s is gone", id)
			}
			return nil
		})
		status, body = send(t, http.MethodDelete, p.URL+"/dlq/"+id, "")
		mustEqual(t, body, status, http.StatusNoContent)
		status, body = get(t, p.URL+"/dlq/"+id)
		mustEqual(t, body, status, http.StatusNotFound)
		break
	}
	waittest.Until(t, func() error {
		_, metrics := get(t, p.URL+"/metrics")
		return contains(metrics, fmt.Sprintf(`dlq_messages{source="streams"} %d`, bad-1))
	})
}
