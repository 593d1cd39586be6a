package hashring

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
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

// A member that the others have lost, and that does not know it, stops answering
// before the next owner begins.
func TestALostMemberStopsBeforeTheNextBegins(t *testing.T) {
	nodes := startRing(t, 3, func(c *Config) {
		c.Wait = 50 * time.Millisecond
		c.LeaveTimeout = 500 * time.Millisecond // nobody listens to the lost one
	})
	gone := nodes[2]
	key := ""
	for i := 0; key == ""; i++ {
		if k := "k" + strconv.Itoa(i); gone.view.Load().ring.Owner(PartitionOf(k)) == gone.Name() {
			key = k
		}
	}
	var mu sync.Mutex
	last, next := time.Time{}, time.Time{}
	gone.answered = func(_ string, _, end time.Time) {
		mu.Lock()
		defer mu.Unlock()
		last = end
	}
	for _, n := range nodes[:2] {
		n.answered = func(_ string, begin, _ time.Time) {
			mu.Lock()
			defer mu.Unlock()
			if next.IsZero() || begin.Before(next) {
				next = begin
			}
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _, _ = call(http.MethodPost, n.url, key) // it may have no owner
				}
			}
		})
	}
	waittest.Until(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if last.IsZero() {
			return errors.New("the owner has not answered")
		}
		return nil
	})
	if err := gone.members.close(); err != nil { // it hears no gossip, and is not heard
		t.Fatal(err)
	}
	waittest.Until(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if next.IsZero() {
			return errors.New("no other member has answered")
		}
		return nil
	})
	close(stop)
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if !last.Before(next) {
		t.Errorf("the old owner answered until %s, the next from %s", last, next)
	}
	t.Logf("nobody answered for %s", next.Sub(last))
	if testutil.ToFloat64(nodes[0].metrics.handovers.WithLabelValues(resultExpired))+testutil.ToFloat64(nodes[1].metrics.handovers.WithLabelValues(resultExpired)) == 0 {
		t.Error("nothing was taken from the lost member")
	}
}

// A member that had no lease for a while begins its documents anew: somebody may have
// gone on with a copy, and made more edits than there are here.
func TestAfterALapseDocumentsBeginAnew(t *testing.T) {
	n := startRing(t, 1, patient)[0]
	if _, _, err := call(http.MethodPost, n.url, "k"); err != nil {
		t.Fatal(err)
	}
	p := PartitionOf("k")
	other := documents.New(PartitionOf)
	if err := other.Import(p, n.shelf.Export(p)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := other.Edit("k", "elsewhere"); err != nil {
			t.Fatal(err)
		}
	}
	n.leaseMu.Lock()
	n.lease = time.Now().Add(-time.Second)
	n.leaseMu.Unlock()
	waittest.Until(t, func() error {
		if testutil.ToFloat64(n.metrics.lapses) == 0 {
			return errors.New("no lapse yet")
		}
		return nil
	})
	if _, edits, err := call(http.MethodPost, n.url, "k"); err != nil || edits != 2 {
		t.Fatalf("%d edits, %v", edits, err)
	}
	if err := n.shelf.Import(p, other.Export(p)); err != nil {
		t.Fatal(err)
	}
	if _, edits, err := call(http.MethodPost, n.url, "k"); err != nil || edits != 3 {
		t.Errorf("%d edits, %v, want 3: those here", edits, err)
	}
}

// A member that drains hands over at once, and forwards what it is asked until it is
// told to end. One that is alone answers on, until another comes.
func TestADrainingMemberForwards(t *testing.T) {
	first := startRing(t, 1, patient)[0]
	edit := func(n *testNode, want string) {
		t.Helper()
		for i := range 20 {
			owner, _, err := call(http.MethodPost, n.url, "k"+strconv.Itoa(i))
			if err != nil || owner != want {
				t.Fatalf("answered by %s, %v, want %s", owner, err, want)
			}
		}
	}
	first.Drain()
	first.Drain()
	edit(first, first.Name())
	config := testConfig(first)
	patient(&config)
	second := startNode(t, config)
	waittest.Until(t, func() error {
		if held := second.holds(); held != Partitions || len(second.view.Load().members) != 1 {
			return fmt.Errorf("the second holds %d partitions, and sees %d members", held, len(second.view.Load().members))
		}
		return nil
	})
	if first.shelf.Keys() != 0 {
		t.Errorf("%d documents were not handed over", first.shelf.Keys())
	}
	edit(first, second.Name())
	if _, edits, err := call(http.MethodGet, second.url, "k0"); err != nil || edits != 2 {
		t.Errorf("%d edits, %v", edits, err)
	}
	if lapses := testutil.ToFloat64(first.metrics.lapses); lapses != 0 {
		t.Errorf("%v lapses of a member that has left", lapses)
	}
}

// A state is told what was handed over from what is taken because its owner is lost:
// of that, another may have the newest copy.
func TestWhatIsBegun(t *testing.T) {
	nodes := startRing(t, 3, patient)
	killed, lost := nodes[2], nodes[2].holds()
	if newest, others := killed.begun.count(); newest < lost || others != 0 {
		t.Errorf("handed over: %d begun of %d, %d as if the owner was lost", newest, lost, others)
	}
	if err := killed.close(); err != nil { // and says nothing
		t.Fatal(err)
	}
	settle(t, nodes[:2])
	_, first := nodes[0].begun.count()
	if _, second := nodes[1].begun.count(); first+second != lost {
		t.Errorf("the owner is lost: %d and %d begun of %d", first, second, lost)
	}
}

// A member that was not confirmed for a while has the newest of what it had, unless
// somebody took it for lost.
func TestALapseAlone(t *testing.T) {
	nodes := startRing(t, 2, patient)
	second := nodes[1]
	held := second.holds()
	second.leaseMu.Lock()
	second.lease = time.Now().Add(-time.Second)
	second.leaseMu.Unlock()
	waittest.Until(t, func() error {
		if testutil.ToFloat64(second.metrics.lapses) == 0 {
			return errors.New("no lapse yet")
		}
		return nil
	})
	settle(t, nodes)
	second.begun.mu.Lock()
	defer second.begun.mu.Unlock()
	twice := 0
	for _, times := range second.begun.newest {
		if times == 2 {
			twice++
		}
	}
	if twice != held || len(second.begun.others) != 0 {
		t.Errorf("%d of %d begun again as the newest, %d not", twice, held, len(second.begun.others))
	}
}

// The ring changes while a partition is on its way: who has it hands it on, and
// nobody waits for a lease, or takes it for lost.
func TestAPartitionGoesFromHandToHand(t *testing.T) {
	nodes := startRing(t, 2, patient)
	owner, other := nodes[0], nodes[1]
	p := 0
	for owner.view.Load().ring.Owner(p) != owner.Name() {
		p++
	}
	term, _ := other.leased()
	owner.held[p].Store(0)
	if _, ok := other.accept(time.Now().Add(-other.config.Lease), term, taking{Released: []int{p}}); ok || other.held[p].Load() != 0 {
		t.Error("what was let go of a lease ago is taken")
	}
	if _, ok := other.accept(time.Now(), term, taking{Released: []int{p}}); !ok {
		t.Error("what was let go of is not taken")
	}
	owner.poke()
	settle(t, nodes)
	owner.begun.mu.Lock()
	defer owner.begun.mu.Unlock()
	if owner.begun.newest[p] != 1 || owner.begun.others[p] != 0 {
		t.Errorf("begun %d times as handed over, %d times as lost", owner.begun.newest[p], owner.begun.others[p])
	}
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

// A ring that a member can't join is not replaced by one of its own.
func TestAMemberThatReachesNobodyAnswersNothing(t *testing.T) {
	config := testConfig()
	config.Join, config.Wait = []string{"127.0.0.1:1"}, 10*time.Millisecond
	n := startNode(t, config)
	if _, _, err := call(http.MethodGet, n.url, "k"); err == nil || n.Ready(t.Context()) == nil || n.holds() > 0 {
		t.Errorf("it answers: %v", err)
	}
}

// Members that take connections and say nothing, as those of a host that is frozen,
// hold up neither the start nor the stop.
func TestDeafMembersHoldUpNothing(t *testing.T) {
	config := testConfig()
	config.GossipAddr, config.AdvertiseIP = "0.0.0.0:0", "127.0.0.1" // has the timeouts of a network
	config.SecretKey = base64.StdEncoding.EncodeToString(make([]byte, 32))
	var connected atomic.Int64
	var accepting sync.WaitGroup
	defer accepting.Wait()
	for range 5 {
		deaf, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		accepting.Go(func() {
			for {
				conn, err := deaf.Accept()
				if err != nil {
					return
				}
				connected.Add(1)
				defer func() { _ = conn.Close() }() // nothing was said
			}
		})
		defer func() { _ = deaf.Close() }() // nothing was written
		config.Join = append(config.Join, deaf.Addr().String())
	}
	n := startNode(t, config)
	waittest.Until(t, func() error {
		if connected.Load() == 0 {
			return errors.New("no member was asked yet")
		}
		return nil
	})
	begin := time.Now()
	if err := n.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("it took %s to stop", took)
	}
}

// Of two members of one name the first stays the owner. The other is not ready and
// says why, whomever it joins by; when the first has left, it takes its place.
func TestOfTwoMembersOfOneNameOneAnswers(t *testing.T) {
	for name, first := range map[string]int{"by the first": 0, "by another": 1} {
		t.Run(name, func(t *testing.T) {
			nodes := startRing(t, 2, func(c *Config) {
				patient(c)
				if len(c.Join) == 0 {
					c.Name = "twin"
				}
			})
			config := testConfig(nodes[first])
			patient(&config)
			config.Name = "twin"
			config.Join = append(config.Join, nodes[1].GossipAddr())
			twin := startNode(t, config)
			waittest.Until(t, func() error {
				if err := twin.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "HASHRING_NAME") {
					return errors.New(fmt.Sprint("ready: ", err))
				}
				return nil
			})
			// It asks for all the same, and is given nothing.
			v := nodes[1].view.Load()
			for what, ask := range map[string]asking{"confirm": {}, "take": {View: v.hash}} {
				if err := twin.peers.ask(t.Context(), v.members[nodes[1].Name()], what, ask, nil); !errors.Is(err, errStranger) {
					t.Errorf("%s: %v, want it refused", what, err)
				}
			}
			settle(t, nodes)
			if twin.holds() > 0 {
				t.Errorf("the second holds %d partitions", twin.holds())
			}
			if err := nodes[0].stop(); err != nil {
				t.Error(err)
			}
			settle(t, []*testNode{nodes[1], twin})
			if err := twin.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A member that is killed and begins again at the same place, before anybody noticed,
// has its name again, as another process.
func TestAMemberThatBeginsAgainIsTaken(t *testing.T) {
	nodes := startRing(t, 2, func(c *Config) {
		patient(c)
		if len(c.Join) > 0 {
			c.Name = "again"
		}
	})
	killed := nodes[1]
	config := killed.config
	config.GossipAddr, config.PeerAddr = killed.GossipAddr(), killed.peers.listener.Addr().String()
	if err := killed.close(); err != nil { // and says nothing
		t.Fatal(err)
	}
	if err := killed.stop(); err != nil { // what it listened on is closed
		t.Fatal(err)
	}
	again := startNode(t, config)
	settle(t, []*testNode{nodes[0], again})
	if have := nodes[0].view.Load().members["again"].ID; have != again.id || have == killed.id {
		t.Errorf("known as %s, want %s", have, again.id)
	}
}

// A member that is killed and begins again at another address has its name once the
// others know that it is dead, rather than when they have forgotten it.
func TestAKilledMembersNameIsFree(t *testing.T) {
	nodes := startRing(t, 3, func(c *Config) {
		if len(c.Join) == 2 {
			c.Name = "again"
		}
	})
	if err := nodes[2].close(); err != nil { // and says nothing
		t.Fatal(err)
	}
	config := testConfig(nodes[0], nodes[1])
	config.Name = "again"
	begin := time.Now()
	again := startNode(t, config)
	settle(t, []*testNode{nodes[0], nodes[1], again})
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it joined after %s", took)
	}
}

// A member of a name that is taken stops, and those that are there do not lose the
// one that had it.
func TestAMemberThatNeverJoinedLeavesNobody(t *testing.T) {
	nodes := startRing(t, 2, func(c *Config) {
		patient(c)
		if len(c.Join) == 0 {
			c.Name = "twin"
		}
	})
	config := testConfig(nodes...)
	config.Name = "twin"
	twin := startNode(t, config)
	waittest.Until(t, func() error {
		if !twin.namesake.Load() {
			return errors.New("the name is not known to be taken")
		}
		return nil
	})
	before := nodes[1].view.Load().epoch
	if err := twin.stop(); err != nil {
		t.Error(err)
	}
	settle(t, nodes)
	if now := nodes[1].view.Load().epoch; now != before {
		t.Errorf("the ring changed %d times", now-before)
	}
}

// Who is forwarded a request for what is not its own says so: nothing goes round.
func TestNothingIsForwardedTwice(t *testing.T) {
	nodes := startRing(t, 2, func(c *Config) { c.Wait = 100 * time.Millisecond })
	a, b := nodes[0], nodes[1]
	wrong := newView(map[string]member{b.Name(): b.view.Load().members[b.Name()]}, 0)
	for i := range 20 {
		key := "k" + strconv.Itoa(i)
		if a.view.Load().ring.Owner(PartitionOf(key)) != a.Name() {
			continue
		}
		// a thinks that it is b's, b that it is a's.
		right := a.view.Swap(wrong)
		defer a.view.Store(right)
		if _, _, err := call(http.MethodGet, a.url, key); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("%s: %v, want 503", key, err)
		}
		if testutil.ToFloat64(a.metrics.forwarded.WithLabelValues(resultNotOwner)) == 0 {
			t.Error("it was not forwarded")
		}
		for _, result := range []string{resultOK, resultNotOwner, resultUnreachable, resultError} {
			if times := testutil.ToFloat64(b.metrics.forwarded.WithLabelValues(result)); times > 0 {
				t.Errorf("it was forwarded on %v times: %s", times, result)
			}
		}
		return
	}
	t.Fatal("a owns none of 20 keys")
}

// elsewhere has the node take another member for the owner of everything, until the
// test ends. What that is asked for a key is answered by answer.
func elsewhere(t *testing.T, n *testNode, answer http.HandlerFunc) {
	t.Helper()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.hashring/") {
			w.WriteHeader(http.StatusConflict)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(other.Close)
	right := n.view.Swap(newView(map[string]member{"other": {Peer: other.Listener.Addr().String()}}, 0))
	t.Cleanup(func() { n.view.Store(right) })
}

// An owner that does not answer in time may have done it: it is not asked again.
func TestASilentOwnerIsAskedOnce(t *testing.T) {
	config := testConfig()
	config.ForwardTimeout = 200 * time.Millisecond
	n := startNode(t, config)
	var asked atomic.Int64
	elsewhere(t, n, func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // or it is not seen that the caller is gone
		<-r.Context().Done()
	})
	_, _, err := call(http.MethodPost, n.url, "k")
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "done or not") {
		t.Errorf("%v, want 503, and that it may be done", err)
	}
	if times := asked.Load(); times != 1 {
		t.Errorf("asked %d times", times)
	}
}

// A member whose lease ends while it works says that it may be done or not.
func TestWorkThatOutlastsTheLease(t *testing.T) {
	n := startRing(t, 1, patient)[0]
	tries := 0
	handler := n.Handler(func(*http.Request) (string, error) { return "k", nil }, func(http.ResponseWriter, *http.Request) error {
		tries++
		err := n.Do("k", func() error {
			n.leaseMu.Lock()
			defer n.leaseMu.Unlock()
			n.lease = time.Now().Add(-time.Second)
			return nil
		})
		if !errors.Is(err, ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		return err
	})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/k", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "done or not") || tries != 1 {
		t.Errorf("%d %s after %d tries", w.Code, w.Body, tries)
	}
}

// A member has more state than fits one message.
func TestMuchIsHandedOver(t *testing.T) {
	const keys = 800
	first := startRing(t, 1, patient)[0]
	text := strings.Repeat("x", documents.MaxText)
	for i := range keys {
		for range 20 {
			if _, err := first.shelf.Edit("k"+strconv.Itoa(i), text); err != nil {
				t.Fatal(err)
			}
		}
	}
	config := testConfig(first)
	patient(&config)
	second := startNode(t, config)
	settle(t, []*testNode{first, second})
	size := 0
	for p := range Partitions {
		size += len(second.shelf.Export(p))
	}
	if size <= maxTaking || first.shelf.Keys()+second.shelf.Keys() != keys {
		t.Errorf("%d bytes were handed over, %d and %d documents are there", size, first.shelf.Keys(), second.shelf.Keys())
	}
	if err := second.stop(); err != nil {
		t.Error(err)
	}
	settle(t, []*testNode{first})
	for i := range keys {
		if d, _ := first.shelf.Get("k" + strconv.Itoa(i)); d.Edits != 20 {
			t.Fatalf("%+v, want 20 edits", d)
		}
	}
}

// While a key has no owner, those who wait for it do not ask all the time: whoever
// is to have it is busy with that.
func TestWaitingRequestsAreSparing(t *testing.T) {
	var asked atomic.Int64
	config := testConfig()
	config.Wait = time.Second
	n := startNode(t, config)
	elsewhere(t, n, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set(notOwnerHeader, "1")
		w.WriteHeader(http.StatusMisdirectedRequest)
	})
	if _, _, err := call(http.MethodPost, n.url, "k"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v, want 503", err)
	}
	if times := asked.Load(); times < 2 || times > 8 {
		t.Errorf("asked %d times in a second", times)
	}
}

// Who is to have a key, and is about to, has the caller wait rather than ask again.
func TestTheNextOwnerIsWaitedFor(t *testing.T) {
	config := testConfig()
	config.Quorum = 2 // holds nothing, as it is alone
	n := startNode(t, config)
	ask := func() int {
		req, err := http.NewRequest(http.MethodPost, "http://"+n.peers.listener.Addr().String()+"/k", strings.NewReader("some words"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(tokenHeader, n.peers.token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // says nothing more
		return resp.StatusCode
	}
	begin := time.Now()
	if status := ask(); status != http.StatusMisdirectedRequest || time.Since(begin) < longestPause {
		t.Errorf("%d after %s, want 421 after %s", status, time.Since(begin), longestPause)
	}
	n.leaseMu.Lock()
	n.lease = time.Now().Add(time.Hour)
	n.leaseMu.Unlock()
	var held sync.WaitGroup
	held.Go(func() {
		n.held[PartitionOf("k")].Store(1)
		n.changed()
	})
	if status := ask(); status != http.StatusOK {
		t.Errorf("%d once it is held, want 200", status)
	}
	held.Wait()
}

// The owner is told who asked, how, and within what trace, of which each try is a
// span.
func TestWhatTheOwnerIsTold(t *testing.T) {
	told := make(chan http.Header, 1)
	owner := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header }))
	defer owner.Close()
	node := startNode(t, testConfig())
	asked := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	ctx := httpapi.WithCall(trace.ContextWithSpanContext(t.Context(), asked), &httpapi.Call{ID: "r1"})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/k", nil)
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	r.Header.Set("X-Forwarded-Proto", "https")
	if err := node.forward(httptest.NewRecorder(), r, member{Peer: "127.0.0.1:1"}); !errors.Is(err, errNotSent) {
		t.Fatal(err)
	}
	if err := node.forward(httptest.NewRecorder(), r, member{Peer: owner.Listener.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	spans := node.spans.Ended()
	if len(spans) != 2 || spans[0].Status().Description != resultUnreachable || spans[1].Status().Code != codes.Unset {
		t.Fatalf("%d spans: %v", len(spans), spans)
	}
	for _, span := range spans {
		if span.Name() != "hashring.forward" || span.SpanKind() != trace.SpanKindClient || span.Parent().SpanID() != asked.SpanID() {
			t.Errorf("the %s span %s of %s", span.SpanKind(), span.Name(), span.Parent().SpanID())
		}
	}
	header := <-told
	for name, want := range map[string]string{
		"X-Forwarded-For":   "192.0.2.7, 192.0.2.1",
		"X-Forwarded-Proto": "https",
		"X-Forwarded-Host":  "example.com",
		"X-Request-Id":      "r1",
		"Traceparent":       "00-01000000000000000000000000000000-" + spans[1].SpanContext().SpanID().String() + "-01",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	nodes := startRing(t, 2, func(c *Config) { c.SecretKey = key })
	peer := "http://" + nodes[0].peers.listener.Addr().String()
	for _, path := range []string{"/.hashring/take", "/.hashring/drop", "/.hashring/confirm", "/k1"} {
		if _, _, err := call(http.MethodPost, peer, strings.TrimPrefix(path, "/")); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("%s: %v, want 403", path, err)
		}
	}
	config := testConfig(nodes...)
	config.Wait = 10 * time.Millisecond
	other := startNode(t, config) // has no key
	if _, _, err := call(http.MethodGet, other.url, "k"); err == nil || len(nodes[0].view.Load().members) != 2 {
		t.Errorf("a member without the key has joined: %v", err)
	}
}

func TestAnOwnerThatIsBusyOrGone(t *testing.T) {
	if result, err := forwardResult(errors.New("reset")); result != resultError || errors.Is(err, errNotSent) {
		t.Errorf("an unknown end is tried again: %s %v", result, err)
	}
	nodes := startRing(t, 2, func(c *Config) { c.Wait = 50 * time.Millisecond })
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/k", nil)
	if err := nodes[0].forward(w, r, member{Peer: "127.0.0.1:1"}); !errors.Is(err, errNotSent) {
		t.Errorf("no connection: %v, want another try", err)
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
	short := testConfig()
	short.SecretKey = "c2hvcnQ="
	if err := short.Validate(); err == nil || strings.Contains(err.Error(), "c2hvcnQ") {
		t.Errorf("a short key: %v, want it refused and not shown", err)
	}
}
