package hashring

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/hashring/documents"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/httpapi"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/waittest"
)

// The tests of this package run one after another: members that share the
// processor with other tests take each other for dead.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begun is a state that is nothing but how often each partition was begun.
type begun struct {
	mu             sync.Mutex
	newest, others map[int]int
}

func (*begun) Export(int) []byte        { return nil }
func (*begun) Import(int, []byte) error { return nil }
func (*begun) Drop(int)                 {}
func (*begun) Keys() int                { return 0 }

func (b *begun) Begin(partition int, newest bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if newest {
		b.newest[partition]++
	} else {
		b.others[partition]++
	}
}

// count returns how many partitions were begun, by what was said of them.
func (b *begun) count() (newest, others int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.newest), len(b.others)
}

// A testNode is a member, and the server that outside callers use.
type testNode struct {
	*Node
	shelf *documents.Shelf
	begun *begun
	spans *tracetest.SpanRecorder
	url   string
	stop  func() error
	// answered is called with each key that was answered here, and when its work
	// began and its right to answer was last looked at.
	answered func(key string, begin, end time.Time)
}

func testConfig(join ...*testNode) Config {
	c := Config{
		GossipAddr: "127.0.0.1:0", PeerAddr: "127.0.0.1:0", Quorum: 1, Lease: 500 * time.Millisecond,
		ProbeInterval: 100 * time.Millisecond, Wait: 20 * time.Second, ForwardTimeout: 5 * time.Second, LeaveTimeout: 10 * time.Second,
		MaxPassed: 10,
	}
	for _, n := range join {
		c.Join = append(c.Join, n.GossipAddr())
	}
	return c
}

// startNode runs a member whose documents are edited by POST /KEY and read by GET.
func startNode(t testing.TB, config Config) *testNode {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	shelf := documents.New(PartitionOf)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	spans := tracetest.NewSpanRecorder()
	node, err := Open(t.Context(), config, mux, log, prometheus.NewRegistry(), sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	if err != nil {
		t.Fatal(err)
	}
	node.Add("documents", shelf)
	begun := &begun{newest: make(map[int]int), others: make(map[int]int)}
	node.Add("begun", begun)
	n := &testNode{Node: node, shelf: shelf, begun: begun, spans: spans, answered: func(string, time.Time, time.Time) {}}
	key := func(r *http.Request) (string, error) { return r.PathValue("key"), nil }
	mux.Handle("/{key}", node.Handler(key, func(w http.ResponseWriter, r *http.Request) error {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		var d documents.Document
		var begin, end time.Time
		key := r.PathValue("key")
		err = node.Do(key, func() (err error) {
			begin = time.Now()
			if r.Method == http.MethodPost {
				d, err = shelf.Edit(key, string(text))
			} else {
				d, _ = shelf.Get(key)
			}
			end = time.Now()
			return err
		})
		if err != nil {
			return err
		}
		n.answered(key, begin, end)
		httpapi.WriteJSON(w, r, http.StatusOK, fmt.Sprintf("%s %d", node.Name(), d.Edits))
		return nil
	}))
	mux.Handle("/echo/{key}", node.Handler(key, echo(n)))
	server := httptest.NewServer(mux)
	n.url = server.URL
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	n.stop = sync.OnceValue(func() error {
		server.Close()
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return n
}

// startRing runs members that own and hold all partitions between them.
func startRing(t testing.TB, count int, change func(*Config)) []*testNode {
	t.Helper()
	var nodes []*testNode
	for range count {
		config := testConfig(nodes...)
		change(&config)
		nodes = append(nodes, startNode(t, config))
	}
	settle(t, nodes)
	return nodes
}

func settle(t testing.TB, nodes []*testNode) {
	t.Helper()
	waittest.Until(t, func() error {
		held := 0
		for _, n := range nodes {
			if got := len(n.view.Load().members); got != len(nodes) {
				return fmt.Errorf("%s sees %d members of %d", n.Name(), got, len(nodes))
			}
			held += n.holds()
		}
		if held != Partitions {
			return fmt.Errorf("%d partitions are held", held)
		}
		return nil
	})
}

// call returns who answered, and how many edits the document has.
func call(method, url, key string) (owner string, edits int, err error) {
	req, err := http.NewRequest(method, url+"/"+key, strings.NewReader("some words"))
	if err != nil {
		return "", 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("%d %s", resp.StatusCode, body)
	}
	owner, count, _ := strings.Cut(strings.Trim(strings.TrimSpace(string(body)), `"`), " ")
	edits, err = strconv.Atoi(count)
	return owner, edits, err
}

// patient is for tests in which no member may be taken for dead.
func patient(c *Config) { c.ProbeInterval, c.Lease = time.Second, 3*time.Second }

func TestAnyMemberAnswersWithTheOwnersState(t *testing.T) {
	nodes := startRing(t, 3, patient)
	for i := range 30 {
		key := "k" + strconv.Itoa(i)
		for edit, n := range nodes {
			owner, edits, err := call(http.MethodPost, n.url, key)
			if err != nil || edits != edit+1 || owner != nodes[0].view.Load().ring.Owner(PartitionOf(key)) {
				t.Fatalf("%s by %s: %s %d, %v", key, n.Name(), owner, edits, err)
			}
		}
	}
	for _, n := range nodes {
		if testutil.ToFloat64(n.metrics.forwarded.WithLabelValues(resultOK)) == 0 || n.Ready(t.Context()) != nil {
			t.Errorf("%s forwarded nothing, or is not ready", n.Name())
		}
	}
}

// Members come and go while documents are edited through all of them: each edit
// that was answered is counted once, so that no two members had the document at
// once and none was lost on the way.
func TestChurnLosesAndDoublesNothing(t *testing.T) {
	first := startRing(t, 2, patient)
	const keys, editors = 12, 4
	var mu sync.Mutex
	seen := make(map[string][]int)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for e := range editors {
		wg.Go(func() {
			for i := e; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := "doc" + strconv.Itoa(i%keys)
				_, edits, err := call(http.MethodPost, first[i%2].url, key)
				if err != nil {
					t.Errorf("%s: %v", key, err)
					return
				}
				mu.Lock()
				seen[key] = append(seen[key], edits)
				mu.Unlock()
			}
		})
	}
	for range 3 {
		config := testConfig(first...)
		patient(&config)
		third := startNode(t, config)
		settle(t, append(slices.Clone(first), third))
		fourth := startNode(t, config)
		settle(t, append(slices.Clone(first), third, fourth))
		if err := third.stop(); err != nil {
			t.Error(err)
		}
		if third.shelf.Keys() > 0 {
			t.Errorf("a member left with %d documents", third.shelf.Keys())
		}
		if err := fourth.stop(); err != nil {
			t.Error(err)
		}
		settle(t, first)
	}
	close(stop)
	wg.Wait()
	total := 0
	for key, edits := range seen {
		slices.Sort(edits)
		for i, edit := range edits {
			if edit != i+1 {
				t.Fatalf("%s: edit %d was answered as number %d", key, i+1, edit)
			}
		}
		total += len(edits)
	}
	taken := testutil.ToFloat64(first[0].metrics.handovers.WithLabelValues(resultTaken))
	if total == 0 || taken == 0 {
		t.Fatalf("%d edits, %v partitions taken: nothing was tried", total, taken)
	}
	t.Logf("%d edits", total)
}

// Below the quorum nobody answers.
func TestWithoutAQuorumNobodyAnswers(t *testing.T) {
	config := testConfig()
	config.Quorum, config.Wait = 2, 10*time.Millisecond
	a := startNode(t, config)
	if _, _, err := call(http.MethodPost, a.url, "k"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("alone: %v, want 503", err)
	}
	if a.Ready(t.Context()) == nil {
		t.Error("ready without a quorum")
	}
	config.Join = []string{a.GossipAddr()}
	b := startNode(t, config)
	settle(t, []*testNode{a, b})
	if _, _, err := call(http.MethodPost, a.url, "k"); err != nil {
		t.Errorf("with a quorum: %v", err)
	}
}

func TestValidate(t *testing.T) {
	if err := testConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for variable, change := range map[string]func(*Config){
		"HASHRING_GOSSIP_ADDR":     func(c *Config) { c.GossipAddr = "localhost:1" },
		"HASHRING_PEER_ADDR":       func(c *Config) { c.PeerAddr = "127.0.0.1" },
		"HASHRING_ADVERTISE_IP":    func(c *Config) { c.GossipAddr = "0.0.0.0:1"; c.SecretKey = strings.Repeat("A", 43) + "=" },
		"HASHRING_SECRET_KEY":      func(c *Config) { c.PeerAddr = "10.0.0.1:1" },
		"HASHRING_JOIN":            func(c *Config) { c.Join = []string{"a"} },
		"HASHRING_QUORUM":          func(c *Config) { c.Quorum = 0 },
		"HASHRING_LEASE":           func(c *Config) { c.Lease = 0 },
		"HASHRING_PROBE_INTERVAL":  func(c *Config) { c.ProbeInterval = 0 },
		"HASHRING_WAIT":            func(c *Config) { c.Wait = -1 },
		"HASHRING_FORWARD_TIMEOUT": func(c *Config) { c.ForwardTimeout = 0 },
		"HASHRING_LEAVE_TIMEOUT":   func(c *Config) { c.LeaveTimeout = 0 },
		"HASHRING_MAX_PASSED":      func(c *Config) { c.MaxPassed = 0 },
		"HASHRING_NAME":            func(c *Config) { c.Name = strings.Repeat("n", 65) },
	} {
		c := testConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), variable) {
			t.Errorf("%s: %v", variable, err)
		}
	}
	blank := testConfig()
	blank.Name = " "
	if err := blank.Validate(); err == nil {
		t.Error("a blank name is taken")
	}
	short := testConfig()
	short.SecretKey = "c2hvcnQ="
	if err := short.Validate(); err == nil || strings.Contains(err.Error(), "c2hvcnQ") {
		t.Errorf("a short key: %v, want it refused and not shown", err)
	}
}
