package hashring

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"example.com/orders/internal/hashring/documents"
	"example.com/orders/internal/waittest"
)

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
