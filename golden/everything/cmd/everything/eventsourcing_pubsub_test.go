package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/waittest"
)

// eventsourcingTopic waits until all events of a stream are on the bus, and fails the
// test where they are not each once and in their order.
func eventsourcingTopic(t testing.TB, url, stream string, events int) {
	t.Helper()
	var ids []string
	waittest.Until(t, func() error {
		ids = nil
		for after := uint64(0); ; {
			page := getMessagesPage(t, url, "events."+stream, after)
			if len(page.Messages) == 0 {
				break
			}
			for _, m := range page.Messages {
				ids = append(ids, m.ID)
			}
			after = page.Next
		}
		if len(ids) < events {
			return fmt.Errorf("%d of %d events of %s are on the bus", len(ids), events, stream)
		}
		return nil
	})
	for i, id := range ids {
		mustEqual(t, "the event", id, fmt.Sprint(i+1))
	}
	mustEqual(t, "events of "+stream+" on the bus", len(ids), events)
}

func TestEventsourcingPubsubPublishes(t *testing.T) {
	s := startService(t, nil)
	eventsourcingOpen(t, s.URL, "ada", 5)
	eventsourcingTopic(t, s.URL, "account-ada", 2)
	messages := getMessagesPage(t, s.URL, "events.account-ada", 0).Messages
	mustEqual(t, "the type", messages[1].Type, "account_deposited")
	mustEqual(t, "the data", string(messages[1].Data), `{"cents":5,"currency":"EUR"}`)
}

// The service is killed while events are published: in the end each is on the bus,
// in the order of its stream. What was published twice is known by its id.
func TestEventsourcingPubsubKilled(t *testing.T) {
	const kills, each = 4, 30
	env := defaultEnv(t)
	p := startProcess(t, env)
	for _, id := range []string{"a", "b"} {
		eventsourcingOpen(t, p.URL, id, 1000)
	}
	for range kills {
		for n := range each {
			id := []string{"a", "b"}[n%2]
			status, body := send(t, http.MethodPost, p.URL+"/accounts/"+id+"/deposits", `{"cents":1}`)
			mustEqual(t, body, status, http.StatusOK)
		}
		p.Kill()
		p = startProcess(t, env)
	}
	for _, id := range []string{"a", "b"} {
		eventsourcingTopic(t, p.URL, "account-"+id, 2+kills*each/2)
	}
}

// Instances share the outbox, where the database can be shared. NATS goes away: events wait, and the service
// serves on. When it is back they are published, each once.
func TestEventsourcingPubsubOverAnOutageOfNATS(t *testing.T) {
	server := pubsubtest.StartServer(t)
	env := defaultEnv(t)
	env["NATS_URL"] = server.URL
	env["PUBSUB_PUBLISH_TIMEOUT"] = "300ms"
	instances := []*testService{startService(t, env)}
	if env["DATABASE_URL"] != "" {
		instances = append(instances, startService(t, env))
	}
	a, b := instances[0], instances[len(instances)-1]
	eventsourcingOpen(t, a.URL, "ada", 10)
	eventsourcingTopic(t, b.URL, "account-ada", 2)

	server.Stop()
	const deposits = 20
	for i := range deposits {
		status, body := send(t, http.MethodPost, instances[i%len(instances)].URL+"/accounts/ada/deposits", `{"cents":1}`)
		mustEqual(t, body, status, http.StatusOK)
	}
	eventsourcingListed(t, b.URL, eventsourcingBalance{"ada", 10 + deposits})
	waittest.Until(t, func() error {
		for _, s := range instances {
			if _, metrics := get(t, s.URL+"/metrics"); !strings.Contains(metrics, `eventsourcing_failures_total{projection="outbox"} 0`+"\n") {
				return contains(metrics, `eventsourcing_failures_total{projection="outbox"} `)
			}
		}
		return errors.New("no failure is counted")
	})

	server.Start()
	waittest.Until(t, func() error {
		for _, s := range instances {
			if status, body := get(t, s.URL+"/readyz"); status != http.StatusOK {
				return errors.New(body)
			}
		}
		return nil
	})
	eventsourcingTopic(t, a.URL, "account-ada", 2+deposits)
}
