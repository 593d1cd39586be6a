package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/pubsub/pubsubtest"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

func pubsubTestEnv(t testing.TB) map[string]string {
	t.Helper()
	return pubsubtest.Env(t)
}

type messagesPage struct {
	Messages []struct {
		Seq  uint64
		ID   string
		Type string
		Data json.RawMessage
	}
	Next, Oldest uint64
}

func getMessagesPage(t testing.TB, url, topic string, after uint64) messagesPage {
	t.Helper()
	status, body := get(t, fmt.Sprintf("%s/topics/%s/messages?after=%d", url, topic, after))
	mustEqual(t, body, status, http.StatusOK)
	var page messagesPage
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	return page
}

func TestPubsubRoutes(t *testing.T) {
	s := startService(t, map[string]string{"PUBSUB_MAX_MESSAGE_BYTES": "20000"})
	for _, tt := range []struct {
		topic, body string
		status      int
		answer      string
	}{
		{"a.b", `{"data":{"n":1},"type":"t","id":"one"}`, http.StatusCreated, `"seq":1`},
		{"a.b", `{"data":{"n":1},"type":"t","id":"one"}`, http.StatusOK, `"duplicate":true`},
		{"a.c", `{"data":2,"id":"one"}`, http.StatusCreated, `"seq":2`},
		{"a.b", `{"data":null}`, http.StatusCreated, `"seq":3`},
		{"a.b", `{"type":"t"}`, http.StatusBadRequest, "data:"},
		{"a.b", `{"data":1,"seq":7}`, http.StatusBadRequest, "seq and time"},
		{"a.*", `{"data":1}`, http.StatusBadRequest, "topic"},
		{"a..b", `{"data":1}`, http.StatusBadRequest, "topic"},
		{"a.%3E", `{"data":1}`, http.StatusBadRequest, "topic"},
		{"a%20b", `{"data":1}`, http.StatusBadRequest, "topic"},
		{"a.b", `{"data":1,"type":"a b"}`, http.StatusBadRequest, "type"},
		{"a.b", `{"data":1,"id":"a\nb"}`, http.StatusBadRequest, "id"},
		{"a.b", `{"data":"` + strings.Repeat("x", 30_000) + `"}`, http.StatusRequestEntityTooLarge, "too large"},
	} {
		status, body := send(t, http.MethodPost, s.URL+"/topics/"+tt.topic+"/messages", tt.body)
		mustEqual(t, tt.topic+" "+body, status, tt.status)
		if err := contains(body, tt.answer); err != nil {
			t.Error(err)
		}
	}
	page := getMessagesPage(t, s.URL, "a.b", 0)
	mustEqual(t, "messages", len(page.Messages), 2)
	mustEqual(t, "data", string(page.Messages[0].Data), `{"n":1}`)
	mustEqual(t, "id", page.Messages[0].ID, "one")
	mustEqual(t, "next", page.Next, 3)
	mustEqual(t, "oldest", page.Oldest, 1)
	for _, after := range []string{"x", "-1", "18446744073709551615", "18446744073709551616"} {
		status, body := get(t, s.URL+"/topics/a.b/messages?after="+after)
		mustEqual(t, body, status, http.StatusBadRequest)
	}
	for _, after := range []uint64{3, 4, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64 - 1} {
		page := getMessagesPage(t, s.URL, "a.b", after)
		mustEqual(t, "messages after the last", len(page.Messages), 0)
		mustEqual(t, "where to go on", page.Next, after)
	}
	for _, topic := range []string{"%3E", "a.*", "a.%3E", "a..b"} {
		status, body := get(t, s.URL+"/topics/"+topic+"/messages")
		mustEqual(t, topic+" "+body, status, http.StatusBadRequest)
		mustEqual(t, "the text is said once", strings.Count(body, "invalid message"), 1)
	}
}

// Services that share a cluster don't share a stream by default.
func TestPubsubStreamIsTheServices(t *testing.T) {
	server := pubsubtest.StartServer(t)
	env := maps.Clone(pubsubtest.Env(t))
	env["NATS_URL"] = server.URL
	env["PUBSUB_STREAM"] = ""
	startService(t, env)
	if !server.HasStream(name) {
		t.Errorf("there is no stream %q", name)
	}
}

func TestPubsubPages(t *testing.T) {
	s := startService(t, nil)
	for i := range messagesLimit + 5 {
		status, body := send(t, http.MethodPost, s.URL+"/topics/many/messages", fmt.Sprintf(`{"data":%d}`, i))
		mustEqual(t, body, status, http.StatusCreated)
	}
	first := getMessagesPage(t, s.URL, "many", 0)
	second := getMessagesPage(t, s.URL, "many", first.Next)
	mustEqual(t, "first page", len(first.Messages), messagesLimit)
	mustEqual(t, "second page", len(second.Messages), 5)
	mustEqual(t, "the last", string(second.Messages[4].Data), fmt.Sprint(messagesLimit+4))
}

// What was acknowledged is there after a kill.
func TestPubsubKeepsWhatItAcknowledged(t *testing.T) {
	first := startProcess(t, nil)
	const n = 200
	for i := range n {
		status, body := send(t, http.MethodPost, first.URL+"/topics/kept/messages", fmt.Sprintf(`{"data":%d}`, i))
		mustEqual(t, body, status, http.StatusCreated)
	}
	first.Kill()
	second := startProcess(t, first.Env)
	var got []string
	for after := uint64(0); ; {
		page := getMessagesPage(t, second.URL, "kept", after)
		if len(page.Messages) == 0 {
			break
		}
		for _, m := range page.Messages {
			got = append(got, string(m.Data))
		}
		after = page.Next
	}
	mustEqual(t, "messages after the kill", len(got), n)
	for i, data := range got {
		mustEqual(t, "message", data, fmt.Sprint(i))
	}
}

// Two instances of the service on one NATS, which restarts.
func TestPubsubInstances(t *testing.T) {
	server := pubsubtest.StartServer(t)
	env := pubsubtest.Env(t)
	env["NATS_URL"] = server.URL
	a, b := startService(t, env), startService(t, env)
	status, body := send(t, http.MethodPost, a.URL+"/topics/shared/messages", `{"data":"from a"}`)
	mustEqual(t, body, status, http.StatusCreated)
	mustEqual(t, "messages at b", len(getMessagesPage(t, b.URL, "shared", 0).Messages), 1)

	server.Stop()
	status, _ = get(t, b.URL+"/readyz")
	mustEqual(t, "ready without NATS", status, http.StatusServiceUnavailable)
	server.Start()
	status, body = send(t, http.MethodPost, b.URL+"/topics/shared/messages", `{"data":"from b"}`)
	mustEqual(t, body, status, http.StatusCreated)
	waittest.Until(t, func() error {
		status, body := get(t, a.URL+"/topics/shared/messages?after=1")
		if status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return contains(body, `"from b"`)
	})
}

func TestPubsubWithoutNATS(t *testing.T) {
	server := pubsubtest.StartServer(t)
	s := startService(t, map[string]string{"NATS_URL": server.URL, "PUBSUB_PUBLISH_TIMEOUT": "300ms"})
	server.Stop()
	for method, body := range map[string]string{http.MethodPost: `{"data":1}`, http.MethodGet: ""} {
		status, body := send(t, method, s.URL+"/topics/a/messages", body)
		mustEqual(t, body, status, http.StatusServiceUnavailable)
		if err := contains(body, "try again later"); err != nil {
			t.Error(err)
		}
	}
}

func TestPubsubContradictions(t *testing.T) {
	refuseTogether(t, map[string]string{"NATS_CREDENTIALS": "me.creds", "NATS_URL": "", "PUBSUB_REPLICAS": "1"}, "NATS_CREDENTIALS=me.creds: NATS_URL is not set")
	refuseTogether(t, map[string]string{"NATS_CREDENTIALS": "me.creds", "NATS_URL": "nats://127.0.0.1:1"}, "")
	refuseTogether(t, map[string]string{"PUBSUB_STREAM": "a.b"}, "PUBSUB_STREAM=a.b")
}
