package hashring

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

var (
	// ErrNotOwner is that this member does not answer for the key now; nothing
	// was done. [Node.Handler] tries again, at its owner.
	ErrNotOwner = errors.New("this member does not own the key")
	// ErrLost is that the right to answer ended while the work was done. It may
	// be there afterwards or not.
	ErrLost = errors.New("this member lost the key while it worked on it")
)

// A Node is this process as a member of the ring.
type Node struct {
	config  Config
	name    string
	id      string
	log     *slog.Logger
	metrics metrics
	tracer  trace.Tracer
	state   states
	members *membership
	peers   *peers
	passed  passed
	joined  atomic.Bool
	// namesake is set while this member can't join for another of its name.
	namesake atomic.Bool
	ran      atomic.Bool
	served   sync.WaitGroup
	drain    sync.Once
	draining chan struct{}

	viewMu sync.Mutex // of who changes the view, and of who relies on its staying
	view   atomic.Pointer[view]
	met    bool          // another member was there; guarded by viewMu
	leases time.Duration // the longest that was seen; guarded by viewMu

	// A partition is held when held is the term: a member answers only for what
	// it owns, holds, and has a lease for. A new term holds nothing.
	locks [Partitions]sync.RWMutex
	held  [Partitions]atomic.Uint64

	leaseMu sync.RWMutex
	term    uint64
	lease   time.Time

	wake     chan struct{} // to claim
	settled  settled       // belongs to who claims
	changeMu sync.Mutex
	change   chan struct{} // closed when a request that waits should look again
}

// Open listens for other members. They are talked to from [Node.Run] on; handler
// answers what they forward, with the routes that have [Node.Handler]. A ring of one
// answers at once. What the members keep is said by [Node.Add].
func Open(ctx context.Context, config Config, handler http.Handler, log *slog.Logger, registry prometheus.Registerer, tracing trace.TracerProvider) (*Node, error) {
	n := &Node{
		config:   config,
		name:     cmp.Or(config.Name, strings.ToLower(rand.Text()[:10])),
		id:       strings.ToLower(rand.Text()[:10]),
		log:      log,
		tracer:   tracing.Tracer("hashring"),
		state:    make(states),
		term:     1,
		draining: make(chan struct{}),
		wake:     make(chan struct{}, 1),
		change:   make(chan struct{}),
	}
	n.view.Store(newView(nil, 0))
	var err error
	if n.peers, err = openPeers(ctx, config, n, handler); err != nil {
		return nil, err
	}
	self := member{ID: n.id, Peer: n.peers.addr(config.AdvertiseIP), Lease: config.Lease}
	n.see(n.name, &self)
	if n.members, err = openMembership(config, n.name, self, log, n.see); err != nil {
		return nil, errors.Join(err, n.peers.close())
	}
	n.metrics = newMetrics(registry, n)
	if len(config.Join) == 0 {
		n.joined.Store(true)
		n.renew(ctx)
		n.claim(ctx)
	}
	return n, nil
}

// Name returns this member's name.
func (n *Node) Name() string { return n.name }

// GossipAddr returns where others join.
func (n *Node) GossipAddr() string { return n.members.addr }

// Ready reports why this member can't answer: it has not met the others, or one of
// them has its name, or they do not confirm it.
func (n *Node) Ready(context.Context) error {
	if n.namesake.Load() {
		return fmt.Errorf("another member has the name %s; HASHRING_NAME must be each one's own", n.name)
	}
	if !n.joined.Load() {
		return errors.New("no member of HASHRING_JOIN was reached yet")
	}
	if _, ok := n.leased(); !ok {
		return errors.New("too few members confirm this one")
	}
	return nil
}

// Run talks to the other members until ctx is done. When [Node.Drain] is called, and
// at the latest then, it hands over what it has and leaves. What it is asked after
// that it forwards, until ctx is done.
func (n *Node) Run(ctx context.Context) error {
	n.ran.Store(true)
	n.log.InfoContext(ctx, "on the ring", "member", n.name, "gossip", n.members.addr, "peer", n.peers.listener.Addr().String())
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, 1)
	n.served.Go(func() { failed <- n.peers.serve() })
	n.served.Go(func() { n.keepJoined(work) })
	n.served.Go(func() { every(work, n.config.Lease/5, func() { n.renew(work) }) })
	claim, stopClaiming := context.WithCancel(work)
	defer stopClaiming()
	var claiming sync.WaitGroup
	claiming.Go(func() { n.keepClaiming(claim) })
	told, err := n.stay(ctx, failed)
	stopClaiming()
	claiming.Wait() // what it is about to take is handed over too
	if told {
		n.leave(work)
		stop() // the others don't confirm it any more
		<-ctx.Done()
	}
	stop()
	n.passed.end()
	err = errors.Join(err, n.close())
	n.served.Wait()
	return err
}

// stay waits until this member is told to leave, or its server has failed. A member
// that drains and is alone stays for as long as it may: there is nobody else to
// answer, unless one comes.
func (n *Node) stay(ctx context.Context, failed <-chan error) (told bool, err error) {
	draining := n.draining
	for {
		changed := n.watch()
		if draining == nil && n.view.Load().heirs(n.name) {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return true, nil
		case err := <-failed:
			return false, err
		case <-draining:
			draining = nil
		case <-changed:
		}
	}
}

// Drain has the node hand over what it has, now rather than when Run is told to end:
// what else stops before that may take all the time there is. It does not wait.
func (n *Node) Drain() { n.drain.Do(func() { close(n.draining) }) }

// Close stops listening, where Run was never called: Run does it by itself.
func (n *Node) Close(context.Context) error {
	if n.ran.Load() {
		return nil
	}
	return n.close()
}

func (n *Node) close() error {
	n.passed.end()
	return errors.Join(n.members.close(), n.peers.close())
}

func every(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// keepJoined looks for the members to join until one is found, and again and
// again, so that the sides of a split network find each other when it heals. It does
// not join while a member has this one's name.
func (n *Node) keepJoined(ctx context.Context) {
	for {
		wait := 5 * time.Second
		if n.joined.Load() {
			n.members.join(ctx, n.config.Join, n.knows)
		} else if n.join(ctx) {
			n.joined.Store(true)
			n.renew(ctx)
			n.poke()
		} else if wait = 200 * time.Millisecond; n.namesake.Load() {
			wait = time.Second // each try is in the log of who is asked
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// join reports whether this member may answer with the others from now on.
func (n *Node) join(ctx context.Context) bool {
	n.members.namesake.Store(false)
	reached := n.members.join(ctx, n.config.Join, func(string) bool { return false })
	namesake := n.members.namesake.Load()
	if namesake && !n.namesake.Load() {
		n.log.WarnContext(ctx, "another member has this one's name; HASHRING_NAME must be each one's own", "member", n.name)
	}
	n.namesake.Store(namesake)
	// A member that is listed itself may be the first.
	return !namesake && (reached > 0 || slices.Contains(n.config.Join, n.members.addr))
}

// knows reports whether a member that gossips at the address is in the view.
func (n *Node) knows(addr string) bool {
	for _, m := range n.view.Load().members {
		if m.gossip == addr {
			return true
		}
	}
	return false
}

// see notes a member that is there, or with nil that it is gone.
func (n *Node) see(name string, m *member) {
	n.viewMu.Lock()
	old := n.view.Load()
	members := make(map[string]member, len(old.members)+1)
	maps.Copy(members, old.members)
	if m == nil {
		delete(members, name)
	} else {
		members[name] = *m
		n.leases = max(n.leases, m.Lease)
	}
	n.met = n.met || len(members) > 1
	if !maps.Equal(members, old.members) {
		n.view.Store(newView(members, old.epoch+1))
	}
	n.viewMu.Unlock()
	n.poke()
	n.changed()
}

// longest returns the longest lease that a member has had which this one has seen.
func (n *Node) longest() time.Duration {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	return n.leases
}

// stays reports whether the view is old enough that others have heard of it too.
func (n *Node) stays(v *view) bool {
	return n.view.Load() == v && time.Since(v.since) > 500*time.Millisecond
}

// poke has the partitions looked at again.
func (n *Node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// changed has requests that wait look again.
func (n *Node) changed() {
	n.changeMu.Lock()
	defer n.changeMu.Unlock()
	close(n.change)
	n.change = make(chan struct{})
}

func (n *Node) watch() <-chan struct{} {
	n.changeMu.Lock()
	defer n.changeMu.Unlock()
	return n.change
}

// leased returns the term, and whether there is a lease.
func (n *Node) leased() (term uint64, ok bool) {
	n.leaseMu.RLock()
	defer n.leaseMu.RUnlock()
	return n.term, time.Now().Before(n.lease)
}

// renew asks the other members whether they still see this one. With more than
// half of them, and the quorum, it has a lease from when it asked.
func (n *Node) renew(ctx context.Context) {
	v := n.view.Load()
	asked := time.Now()
	need := max(len(v.members)/2+1, n.config.Quorum)
	if !n.joined.Load() || 1+n.peers.confirm(ctx, v, need-1) < need {
		return
	}
	n.leaseMu.Lock()
	now := time.Now()
	lapsed := now.After(n.lease) && !n.lease.IsZero()
	if lapsed {
		// Others may have what was held here: it has to be claimed again.
		n.term++
	}
	if until := asked.Add(n.config.Lease); until.After(n.lease) {
		n.lease = until
	}
	n.leaseMu.Unlock()
	if lapsed {
		n.metrics.lapses.Inc()
		n.log.WarnContext(ctx, "the ring did not confirm this member in time; what it held is claimed again")
		n.poke()
	}
}

// check returns the term in which this member answers for a partition, or why it
// does not.
func (n *Node) check(partition int) (term uint64, err error) {
	term, ok := n.leased()
	if n.view.Load().ring.Owner(partition) != n.name || !ok || n.held[partition].Load() != term {
		return term, ErrNotOwner
	}
	return term, nil
}

// Do calls work if this member answers for the key now, and returns [ErrNotOwner]
// if not. While work runs no other member answers for the key: keep it short, and
// answer when Do has returned nil. Work for one key may run side by side.
func (n *Node) Do(key string, work func() error) error {
	p := PartitionOf(key)
	n.locks[p].RLock()
	defer n.locks[p].RUnlock()
	term, err := n.check(p)
	if err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	// It is held still, since it is locked, unless time has passed it by.
	if now, ok := n.leased(); !ok || now != term {
		return ErrLost
	}
	return nil
}

// holds returns how many partitions this member answers for.
func (n *Node) holds() int {
	count := 0
	for p := range Partitions {
		if _, err := n.check(p); err == nil {
			count++
		}
	}
	return count
}

// advertised returns the address at which others reach a listener.
func advertised(listener net.Listener, ip string) string {
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return listener.Addr().String()
	}
	return net.JoinHostPort(cmp.Or(ip, host), port)
}
