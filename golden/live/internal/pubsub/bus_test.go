package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/pubsub/pubsubtest"
	"example.com/orders/internal/waittest"
)

func TestMain(m *testing.M) {
	if pubsubtest.Serve() {
		return
	}
	goleak.VerifyTestMain(m)
}

// testConfig is a server in this process, or a stream on those in TEST_NATS_URL.
func testConfig(t testing.TB) pubsub.Config {
	t.Helper()
	env := pubsubtest.Env(t)
	return pubsub.Config{
		URL:             env["NATS_URL"],
		Dir:             env["PUBSUB_DIR"],
		Stream:          env["PUBSUB_STREAM"],
		Replicas:        1,
		MaxAge:          time.Hour,
		MaxBytes:        16 << 20,
		MaxMessageBytes: 64 << 10,
		DedupeWindow:    time.Minute,
		PublishTimeout:  5 * time.Second,
		ConnectTimeout:  30 * time.Second,
		AckWait:         30 * time.Second,
		MaxDeliver:      3,
	}
}

func open(t testing.TB, config pubsub.Config) *pubsub.Bus {
	t.Helper()
	b, err := tryOpen(t, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, b) })
	return b
}

func tryOpen(t testing.TB, config pubsub.Config) (*pubsub.Bus, error) {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return pubsub.Open(context.Background(), config, log, prometheus.NewRegistry(), noop.NewTracerProvider())
}

func closeBus(t testing.TB, b *pubsub.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func publish(t testing.TB, b *pubsub.Bus, topic, data string) pubsub.Ack {
	t.Helper()
	ack, err := b.Publish(t.Context(), pubsub.Message{Topic: topic, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// follow collects the data of what Follow delivers, until the test ends.
func follow(t testing.TB, b *pubsub.Bus, after uint64, filters ...string) *collected {
	t.Helper()
	c := new(collected)
	c.run(t, func(ctx context.Context) error {
		return b.Follow(ctx, after, func(m pubsub.Message) error { c.add(m); return nil }, filters...)
	})
	return c
}

// collected is what a reader has been given.
type collected struct {
	mu       sync.Mutex
	messages []pubsub.Message
}

func (c *collected) add(m pubsub.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, m)
}

func (c *collected) data() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	data := make([]string, 0, len(c.messages))
	for _, m := range c.messages {
		data = append(data, string(m.Data))
	}
	return data
}

// run has read run until the test ends or stop is called.
func (c *collected) run(t testing.TB, read func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- read(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the reader ended with: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// await waits until c has n messages.
func (c *collected) await(t testing.TB, n int) []string {
	t.Helper()
	var data []string
	waittest.Until(t, func() error {
		if data = c.data(); len(data) < n {
			return fmt.Errorf("%d messages, want %d", len(data), n)
		}
		return nil
	})
	return data
}

func numbers(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, strconv.Itoa(i))
	}
	return s
}

func wantEqual(t testing.TB, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestPublishAndRead(t *testing.T) {
	t.Parallel()
	b := open(t, testConfig(t))
	ctx := t.Context()
	before := time.Now().Add(-time.Minute)
	ack, err := b.Publish(ctx, pubsub.Message{Topic: "orders.1", ID: "x", Type: "paid", Data: []byte("one")})
	if err != nil || ack != (pubsub.Ack{Seq: 1}) {
		t.Fatalf("got %+v, %v", ack, err)
	}
	ack, err = b.Publish(ctx, pubsub.Message{Topic: "orders.1", ID: "x", Data: []byte("again")})
	if err != nil || ack != (pubsub.Ack{Seq: 1, Duplicate: true}) {
		t.Errorf("the same id again: got %+v, %v", ack, err)
	}
	ack, err = b.Publish(ctx, pubsub.Message{Topic: "orders.2", ID: "x", Data: []byte("two")})
	if err != nil || ack != (pubsub.Ack{Seq: 2}) {
		t.Errorf("the same id on another topic: got %+v, %v", ack, err)
	}
	publish(t, b, "orders.1", "three")
	publish(t, b, "users.1", "")

	for _, tt := range []struct {
		after, upTo uint64
		filters     []string
		want        []string
	}{
		{0, math.MaxUint64, nil, []string{"one", "two", "three", ""}},
		{1, 3, nil, []string{"two", "three"}},
		{0, math.MaxUint64, []string{"orders.1"}, []string{"one", "three"}},
		{0, math.MaxUint64, []string{"*.1"}, []string{"one", "three", ""}},
		{0, math.MaxUint64, []string{"orders.>"}, []string{"one", "two", "three"}},
		{0, math.MaxUint64, []string{"orders.2", "users.1"}, []string{"two", ""}},
		{0, math.MaxUint64, []string{"nobody"}, nil},
		{4, math.MaxUint64, nil, nil},
		{9, math.MaxUint64, nil, nil},
	} {
		var c collected
		if err := b.Read(ctx, tt.after, tt.upTo, func(m pubsub.Message) error { c.add(m); return nil }, tt.filters...); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]string{}, tt.want...), c.data()); diff != "" {
			t.Errorf("after %d up to %d of %v (-want +got):\n%s", tt.after, tt.upTo, tt.filters, diff)
		}
		if tt.filters == nil && tt.after == 0 {
			m := c.messages[0]
			if m.Topic != "orders.1" || m.ID != "x" || m.Type != "paid" || m.Seq != 1 || m.Time.Before(before) {
				t.Errorf("the first message is %+v", m)
			}
		}
	}
	enough := errors.New("enough")
	if err := b.Read(ctx, 0, 9, func(pubsub.Message) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("yield's error: got %v", err)
	}
	state, err := b.State(ctx)
	if err != nil || state.First != 1 || state.Last != 4 || state.Epoch == "" {
		t.Errorf("state: %+v, %v", state, err)
	}
	if err := b.Ready(ctx); err != nil {
		t.Errorf("ready: %v", err)
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	b := open(t, testConfig(t))
	long := strings.Repeat("x", 201)
	for _, tt := range []struct {
		message pubsub.Message
		want    error
	}{
		{pubsub.Message{}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a..b"}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a."}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a.*"}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a.>"}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a b"}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "ä"}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a\r\nb"}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: long}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a.b.c.d.e.f.g.h.i"}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a", Type: "a\nb"}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a", ID: "a\nb"}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a", ID: long}, pubsub.ErrInvalid},
		{pubsub.Message{Topic: "a", Data: make([]byte, 65<<10)}, pubsub.ErrTooLarge},
		{pubsub.Message{Topic: "a", Data: make([]byte, 2<<20)}, pubsub.ErrTooLarge},
		{pubsub.Message{Topic: "a.b.c.d.e.f.g.h", Type: "t-1_T", ID: "~!", Data: make([]byte, 63<<10)}, nil},
	} {
		if _, err := b.Publish(t.Context(), tt.message); !errors.Is(err, tt.want) {
			t.Errorf("%.60q: got %v, want %v", fmt.Sprint(tt.message), err, tt.want)
		}
	}
	for _, filter := range []string{"", "a.>.b", "a.b*"} {
		if err := b.Follow(t.Context(), 0, nil, filter); !errors.Is(err, pubsub.ErrInvalid) {
			t.Errorf("filter %q: got %v", filter, err)
		}
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	b := open(t, testConfig(t))
	for _, n := range numbers(0, 10) {
		publish(t, b, "a", n)
	}
	all, rest := follow(t, b, 0), follow(t, b, 7, "a")
	all.await(t, 10)
	for _, n := range numbers(10, 20) {
		publish(t, b, "a", n)
		publish(t, b, "b", "b"+n)
	}
	wantEqual(t, "the rest", numbers(7, 20), rest.await(t, 13))
	if got := len(all.await(t, 30)); got != 30 {
		t.Errorf("%d messages, want 30", got)
	}
	enough := errors.New("enough")
	if err := b.Follow(t.Context(), 0, func(pubsub.Message) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the handler's error: got %v", err)
	}
	if err := b.Follow(t.Context(), 100, func(pubsub.Message) error { return nil }); !errors.Is(err, pubsub.ErrReplaced) {
		t.Errorf("after the end: got %v", err)
	}
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	b := open(t, testConfig(t))
	var one, two, members collected
	one.run(t, func(ctx context.Context) error { return b.Subscribe(ctx, "a.*", "", one.add) })
	two.run(t, func(ctx context.Context) error { return b.Subscribe(ctx, "a.b", "", two.add) })
	for range 2 {
		members.run(t, func(ctx context.Context) error { return b.Subscribe(ctx, "a.>", "group", members.add) })
	}
	// Who is not there yet misses what is said: say it until all are.
	for len(one.data()) == 0 || len(two.data()) == 0 || len(members.data()) == 0 {
		publish(t, b, "a.b", "hello")
	}
	for _, n := range numbers(0, 20) {
		publish(t, b, "a.b", n)
	}
	// Each lone subscriber gets all of them, the group's members together too.
	for _, c := range []*collected{&one, &two, &members} {
		var got map[string]int
		waittest.Until(t, func() error {
			got = make(map[string]int)
			for _, data := range c.data() {
				if data != "hello" {
					got[data]++
				}
			}
			if len(got) < 20 {
				return fmt.Errorf("got %v, want 20 different", got)
			}
			return nil
		})
		for data, times := range got {
			if times != 1 {
				t.Errorf("%s came %d times", data, times)
			}
		}
	}
}

func TestConsume(t *testing.T) {
	t.Parallel()
	b := open(t, testConfig(t))
	const n = 40
	var done collected
	var mu sync.Mutex
	var attempts []uint64
	work := func(ctx context.Context) error {
		return b.Consume(ctx, "workers", "work.*", func(_ context.Context, d pubsub.Delivery) error {
			switch string(d.Data) {
			case "bad":
				mu.Lock()
				defer mu.Unlock()
				attempts = append(attempts, d.Attempt)
				if d.Last != (d.Attempt == 3) {
					t.Errorf("attempt %d is the last: %v", d.Attempt, d.Last)
				}
				return errors.New("bad")
			case "shaky":
				if d.Attempt == 1 {
					return errors.New("shaky")
				}
			}
			done.add(d.Message)
			return nil
		})
	}
	publish(t, b, "work.x", "shaky")
	publish(t, b, "work.x", "bad")
	publish(t, b, "play.x", "not theirs")
	for _, i := range numbers(0, n/2) {
		publish(t, b, "work.x", i)
	}
	var members [2]func()
	for i := range members {
		members[i] = new(collected).run(t, work)
	}
	done.await(t, n/2+1)
	members[0]() // one leaves
	for _, i := range numbers(n/2, n) {
		publish(t, b, "work.x", i)
	}
	seen := make(map[string]int)
	for _, data := range done.await(t, n+1) {
		seen[data]++
	}
	for _, i := range append(numbers(0, n), "shaky") {
		if seen[i] != 1 {
			t.Errorf("%s was worked on %d times", i, seen[i])
		}
	}
	waittest.Until(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		// The member that left may have had one in hand: it counts, unseen.
		if len(attempts) == 0 || attempts[len(attempts)-1] < 3 {
			return fmt.Errorf("attempts %d at the bad one, want up to 3", attempts)
		}
		if len(attempts) < 2 || len(attempts) > 3 || !slices.IsSorted(attempts) {
			t.Errorf("attempts %d at the bad one, want 1 to 3, of which one may be missing", attempts)
		}
		return nil
	})
	if err := b.Consume(t.Context(), "a.b", "work.*", nil); err == nil {
		t.Error("a group with a dot was taken")
	}
}

// The limits take the oldest away, and State says so.
func TestLimits(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.MaxBytes = 64 << 10
	b := open(t, config)
	for range 20 {
		publish(t, b, "a", strings.Repeat("x", 10<<10))
	}
	state, err := b.State(t.Context())
	if err != nil || state.Last != 20 || state.First < 14 || state.First > 19 {
		t.Errorf("state: %+v, %v, want the last few of 20", state, err)
	}
}

// What is stored is there after a restart, and the directory is nobody else's.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.URL = ""
	config.Sync = true
	first, err := tryOpen(t, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(t, config); err == nil || !strings.Contains(err.Error(), "PUBSUB_DIR") {
		t.Errorf("a second on the same directory: %v", err)
	}
	before := publish(t, first, "a", "kept")
	old, err := first.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeBus(t, first)
	if _, err := first.Publish(t.Context(), pubsub.Message{Topic: "a"}); err == nil {
		t.Error("a closed bus published")
	}
	second := open(t, config)
	if state, err := second.State(t.Context()); err != nil || state != old {
		t.Errorf("state after the restart: %+v, %v, want %+v", state, err, old)
	}
	if after := publish(t, second, "a", "more"); after.Seq != before.Seq+1 {
		t.Errorf("the next sequence is %d, want %d", after.Seq, before.Seq+1)
	}
	wantEqual(t, "all", []string{"kept", "more"}, follow(t, second, 0).await(t, 2))
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.URL = "nats://127.0.0.1:1"
	if _, err := tryOpen(t, config); err == nil || !strings.Contains(err.Error(), "NATS_URL") {
		t.Errorf("without a server: %v", err)
	}
	config.URL = ""
	config.Dir = filepath.Join("bus_test.go", "no", "directory")
	if _, err := tryOpen(t, config); err == nil || !strings.Contains(err.Error(), "PUBSUB_DIR") {
		t.Errorf("without a directory: %v", err)
	}
}

// A directory on a disk that is too small is told from the start, and at once.
func TestOpenWithoutRoom(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.URL = ""
	config.MaxBytes = 1 << 60
	begin := time.Now()
	_, err := tryOpen(t, config)
	if err == nil || !strings.Contains(err.Error(), "PUBSUB_MAX_BYTES") || !strings.Contains(err.Error(), config.Dir) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > config.ConnectTimeout/2 {
		t.Errorf("it took %s", took)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		change func(*pubsub.Config)
		want   string
	}{
		{func(c *pubsub.Config) { c.MaxBytes = 1 }, "PUBSUB_MAX_MESSAGE_BYTES=65536: must not be more than PUBSUB_MAX_BYTES=1,"},
		{func(c *pubsub.Config) { c.MaxMessageBytes = 0 }, "PUBSUB_MAX_MESSAGE_BYTES"},
		{func(c *pubsub.Config) { c.Stream = "" }, "PUBSUB_STREAM"},
		{func(c *pubsub.Config) { c.Stream = "a.b" }, "PUBSUB_STREAM"},
		{func(c *pubsub.Config) { c.DedupeWindow = 2 * c.MaxAge }, "PUBSUB_DEDUPE_WINDOW"},
		{func(c *pubsub.Config) { c.URL, c.Replicas = "", 3 }, "PUBSUB_REPLICAS"},
		{func(c *pubsub.Config) { c.URL, c.Dir = "", "" }, "PUBSUB_DIR"},
		{func(c *pubsub.Config) { c.URL = "nats://me:se%cret@host:4222" }, "NATS_URL"},
		{func(c *pubsub.Config) { c.URL = "nats://a:4222, nats://me:secret#@host:4222" }, "NATS_URL"},
		{func(c *pubsub.Config) { c.URL = "me:secret/@host" }, "NATS_URL"},
		{func(c *pubsub.Config) { c.URL = "nats://me:s%65cret@a:4222,b,tls://c:4222" }, ""},
	} {
		config := testConfig(t)
		tt.change(&config)
		err := config.Validate()
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
			t.Errorf("got %v, want it to begin with %q", err, tt.want)
		case err != nil && strings.Contains(err.Error(), "cret"):
			t.Errorf("the password is shown: %v", err)
		}
	}
}

// A message that no one could publish is no failure of pub/sub.
func TestRefusedIsNotFailed(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	b, err := pubsub.Open(t.Context(), testConfig(t), slog.New(slog.DiscardHandler), registry, noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, b) })
	for _, m := range []pubsub.Message{
		{Topic: "a b"},
		{Topic: "a", Data: make([]byte, 65<<10)},
	} {
		if _, err := b.Publish(t.Context(), m); err == nil {
			t.Errorf("%.20q was published", m.Topic)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, f := range families {
		if f.GetName() == "pubsub_publish_duration_seconds" {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	if diff := cmp.Diff(map[string]uint64{"stored": 0, "duplicate": 0, "failed": 0, "refused": 2}, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

// A group's results are counted from 0 before there are any, so that a rate sees the first.
func TestAGroupsResultsBeginAtZero(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	b, err := pubsub.Open(t.Context(), testConfig(t), slog.New(slog.DiscardHandler), registry, noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBus(t, b) })
	new(collected).run(t, func(ctx context.Context) error {
		return b.Consume(ctx, "workers", "work.*", func(context.Context, pubsub.Delivery) error { return nil })
	})
	waittest.Until(t, func() error {
		if n, err := testutil.GatherAndCount(registry, "pubsub_group_messages_total"); err != nil || n != 3 {
			return fmt.Errorf("%d series, %w; want done, retried and dropped", n, err)
		}
		return nil
	})
}

func BenchmarkPublish(b *testing.B) {
	bus := open(b, testConfig(b))
	data := make([]byte, 100)
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if _, err := bus.Publish(b.Context(), pubsub.Message{Topic: "a", Data: data}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := bus.Publish(b.Context(), pubsub.Message{Topic: "a", Data: data}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
