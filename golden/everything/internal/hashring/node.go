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
)

// A State is what members keep of keys, in memory. A partition is locked while
// Export, Import and Drop are called for it: no [Node.Do] runs in it.
type State interface {
	// Export returns the state of a partition's keys, nil for none.
	Export(partition int) []byte
	// Import takes what another member's Export returned. Where a key is there
	// already, it decides which is newer: the same state can come twice, and
	// after a split network two members have the same key.
	Import(partition int, state []byte) error
	// Drop forgets a partition that another member has now.
	Drop(partition int)
	// Keys returns how many there are.
	Keys() int
}

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
	log     *slog.Logger
	metrics metrics
	state   State
	members *membership
	peers   *peers
	joined  atomic.Bool
	served  sync.WaitGroup

	viewMu sync.Mutex // of who changes the view, and of who relies on its staying
	view   atomic.Pointer[view]
	met    bool // another member was there; guarded by viewMu

	// A partition is held when held is the term: a member answers only for what
	// it owns, holds, and has a lease for. A new term holds nothing.
	locks [Partitions]sync.RWMutex
	held  [Partitions]atomic.Uint64

	leaseMu sync.RWMutex
	term    uint64
	lease   time.Time

	wake     chan struct{} // to claim
	changeMu sync.Mutex
	change   chan struct{} // closed when a request that waits should look again
}

// Open listens for other members. They are talked to from [Node.Run] on; handler
// answers what they forward. A ring of one answers at once.
func Open(ctx context.Context, config Config, state State, handler http.Handler, log *slog.Logger, registry prometheus.Registerer) (*Node, error) {
	n := &Node{
		config: config,
		name:   cmp.Or(config.Name, strings.ToLower(rand.Text()[:10])),
		log:    log,
		state:  state,
		term:   1,
		wake:   make(chan struct{}, 1),
		change: make(chan struct{}),
	}
	n.view.Store(newView(nil, 0))
	var err error
	if n.peers, err = openPeers(ctx, config, n, handler); err != nil {
		return nil, err
	}
	self := member{Peer: n.peers.addr(config.AdvertiseIP)}
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

// Ready reports why this member can't answer: it has not met the others, or they
// do not confirm it.
func (n *Node) Ready(context.Context) error {
	if !n.joined.Load() {
		return errors.New("no member of HASHRING_JOIN was reached yet")
	}
	if _, ok := n.leased(); !ok {
		return errors.New("too few members confirm this one")
	}
	return nil
}

// Run talks to the other members until ctx is done. Then it hands over what it
// has, while it still answers them, and leaves.
func (n *Node) Run(ctx context.Context) error {
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
	var err error
	select {
	case <-ctx.Done():
		stopClaiming()
		claiming.Wait() // what it is about to take is handed over too
		n.leave(work)
	case err = <-failed:
	}
	stop()
	claiming.Wait()
	err = errors.Join(err, n.Close(ctx))
	n.served.Wait()
	return err
}

// Close stops listening. Run does it; it is for a node that was never run.
func (n *Node) Close(context.Context) error {
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
// again, so that the sides of a split network find each other when it heals.
func (n *Node) keepJoined(ctx context.Context) {
	for {
		reached := n.members.join(ctx, n.config.Join, n.knows)
		wait := 5 * time.Second
		if !n.joined.Load() {
			// A member that is listed itself may be the first.
			if self := n.members.addr; reached > 0 || slices.Contains(n.config.Join, self) {
				n.joined.Store(true)
				n.renew(ctx)
				n.poke()
			} else {
				wait = 200 * time.Millisecond
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
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
	}
	n.met = n.met || len(members) > 1
	if !maps.Equal(members, old.members) {
		n.view.Store(newView(members, old.epoch+1))
	}
	n.viewMu.Unlock()
	n.poke()
	n.changed()
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

// hold takes a partition, if the view is still v.
func (n *Node) hold(v *view, term uint64, partition int) bool {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	if n.view.Load() != v {
		return false
	}
	n.held[partition].Store(term)
	return true
}

// keepClaiming takes what this member owns whenever that may have changed.
func (n *Node) keepClaiming(ctx context.Context) {
	for {
		var again <-chan time.Time
		if !n.claim(ctx) {
			again = time.After(20 * time.Millisecond)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-again:
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// claim takes what this member owns from who has it. It reports whether there is
// nothing left to do with this view.
//
// It takes the word of every other member, all with the same view. Who held a
// partition has let go of it before it says so: that one is taken at once. What
// nobody held may be held by a member that is lost, until its lease is over. So it
// is taken when a lease has passed in which every member had this very view, and
// confirmed nobody who is not in it.
func (n *Node) claim(ctx context.Context) bool {
	v := n.view.Load()
	term, _ := n.leased()
	if self, ok := v.members[n.name]; !ok || self.Leaving || !n.joined.Load() || len(v.members) < n.config.Quorum {
		return true
	}
	first, ok := n.peers.take(ctx, v, term)
	if !ok {
		return false
	}
	missing := n.missing(v, term)
	if len(missing) == 0 {
		return true
	}
	n.viewMu.Lock()
	alone := !n.met && len(n.config.Join) == 0
	n.viewMu.Unlock()
	if !alone {
		select {
		case <-ctx.Done():
			return true
		case <-n.wake:
			return false
		case <-time.After(n.config.Lease + n.config.Lease/10): // clocks are not all as fast
		}
		second, ok := n.peers.take(ctx, v, term)
		if !ok || !maps.Equal(first, second) {
			return false
		}
	}
	taken := 0
	for _, p := range n.missing(v, term) {
		if !n.hold(v, term, p) {
			return false
		}
		taken++
	}
	n.metrics.handovers.WithLabelValues(resultExpired).Add(float64(taken))
	n.changed()
	return true
}

// missing returns what this member owns and does not hold.
func (n *Node) missing(v *view, term uint64) []int {
	var missing []int
	for p := range Partitions {
		if v.ring.Owner(p) == n.name && n.held[p].Load() != term {
			missing = append(missing, p)
		}
	}
	return missing
}

// release lets go of all that the ring of v gives to another member, and returns
// it with its state, as much as fits one message.
func (n *Node) release(v *view, to string) taking {
	answer := taking{Epoch: v.epoch, State: make(map[int][]byte)}
	size := 0
	for p := range Partitions {
		if v.ring.Owner(p) != to {
			continue
		}
		if size > maxTaking {
			answer.More = true
			break
		}
		n.locks[p].Lock()
		term, ok := n.leased()
		if held := n.held[p].Swap(0); ok && held == term {
			answer.Released = append(answer.Released, p)
		}
		state := n.state.Export(p)
		n.locks[p].Unlock()
		if state != nil {
			answer.State[p] = state
			size += len(state)
		}
	}
	n.metrics.handovers.WithLabelValues(resultSent).Add(float64(len(answer.Released)))
	if n.view.Load() != v {
		n.poke() // it may be this member's own by now
	}
	return answer
}

// accept takes what another member has let go of. It returns whose state is here
// now, or false where the view has changed and nothing more is taken.
func (n *Node) accept(v *view, term uint64, answer taking) (here []int, ok bool) {
	for p, state := range answer.State {
		n.locks[p].Lock()
		err := n.state.Import(p, state)
		n.locks[p].Unlock()
		if err != nil {
			n.log.Error("the state of a partition can't be read", "partition", p, "error", err)
			return here, false
		}
		here = append(here, p)
	}
	taken := 0
	for _, p := range answer.Released {
		if !n.hold(v, term, p) {
			return here, false
		}
		taken++
	}
	n.metrics.handovers.WithLabelValues(resultTaken).Add(float64(taken))
	if taken > 0 {
		n.changed()
	}
	return here, true
}

// forget drops the state of partitions that another member has, which this one
// released with the view of the epoch. With a later view they may have come back.
func (n *Node) forget(partitions []int, epoch uint64) {
	for _, p := range partitions {
		n.locks[p].Lock()
		if n.view.Load().epoch == epoch {
			n.state.Drop(p)
		}
		n.locks[p].Unlock()
	}
	n.changed()
}

// leave has the others take all that is here, and tells them that this member is
// gone.
func (n *Node) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, n.config.LeaveTimeout)
	defer cancel()
	v := n.view.Load()
	self := v.members[n.name]
	self.Leaving = true
	n.see(n.name, &self)
	if len(v.members) > 1 {
		if err := n.members.leaving(n.config.LeaveTimeout); err != nil {
			n.log.WarnContext(ctx, "the ring was not told that this member leaves", "error", err)
		}
	}
	for len(n.view.Load().members) > 1 && (n.state.Keys() > 0 || n.holdsAny()) {
		changed := n.watch()
		select {
		case <-changed:
			continue
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond): // what was held without state is not told of
			continue
		}
		break
	}
	if left := n.state.Keys(); left > 0 {
		lost := 0
		for p := range Partitions {
			n.locks[p].RLock()
			if n.state.Export(p) != nil {
				lost++
			}
			n.locks[p].RUnlock()
		}
		n.metrics.handovers.WithLabelValues(resultLost).Add(float64(lost))
		n.log.WarnContext(ctx, "stopped with state that no member has taken", "keys", left)
	}
	if err := n.members.leave(n.config.LeaveTimeout); err != nil {
		n.log.WarnContext(ctx, fmt.Sprintf("the ring was not told that this member is gone: %v", err))
	}
}

// holdsAny reports whether this member holds a partition, be it its own or not.
func (n *Node) holdsAny() bool {
	term, _ := n.leased()
	for p := range Partitions {
		if n.held[p].Load() == term {
			return true
		}
	}
	return false
}

// advertised returns the address at which others reach a listener.
func advertised(listener net.Listener, ip string) string {
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return listener.Addr().String()
	}
	return net.JoinHostPort(cmp.Or(ip, host), port)
}
