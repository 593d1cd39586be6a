package hashring

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// hold takes a partition that nobody holds, if the view is still v.
func (n *Node) hold(v *view, term uint64, partition int, newest bool) bool {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	if n.view.Load() != v {
		return false
	}
	n.state.Begin(partition, newest)
	n.held[partition].Store(term)
	return true
}

// keep takes a partition that another member has let go of, asked with a view that was
// this member's then. It may be somebody else's since, who asks for it: so it goes
// from hand to hand. Later than a lease after it was asked for it may have been taken
// as one that nobody holds.
func (n *Node) keep(asked time.Time, term uint64, partition int) bool {
	n.locks[partition].Lock()
	defer n.locks[partition].Unlock()
	if time.Since(asked) >= n.config.Lease {
		return false
	}
	n.state.Begin(partition, true)
	n.held[partition].Store(term)
	return true
}

// keepClaiming takes what this member owns whenever that may have changed.
func (n *Node) keepClaiming(ctx context.Context) {
	for pause := firstPause; ; {
		var again <-chan time.Time
		if !n.claim(ctx) {
			again = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
			pause = firstPause
		case <-again:
			pause = longer(pause)
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
// confirmed nobody who is not in it: the longest that any of them has seen a member
// have, since who confirms one has seen its lease.
func (n *Node) claim(ctx context.Context) bool {
	v := n.view.Load()
	term, _ := n.leased()
	if self, ok := v.members[n.name]; !ok || self.Leaving || !n.joined.Load() || len(v.members) < n.config.Quorum {
		return true
	}
	first, longest, ok := n.peers.take(ctx, v, term)
	if !ok {
		return false
	}
	missing := n.missing(v, term)
	if len(missing) == 0 {
		n.settled = settled{v, first}
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
			n.poke() // whoever called this is to know
			return false
		case <-time.After(longest + longest/10): // clocks are not all as fast
		}
		second, _, ok := n.peers.take(ctx, v, term)
		if !ok || !maps.Equal(first, second) {
			return false
		}
	}
	// Where nobody has seen another ring since this member last had all that it owns,
	// as after a lapse, nobody else can have had it.
	newest := alone || n.settled.view == v && maps.Equal(first, n.settled.epochs)
	taken := 0
	for _, p := range n.missing(v, term) {
		if !n.hold(v, term, p, newest) {
			return false
		}
		taken++
	}
	n.metrics.handovers.WithLabelValues(resultExpired).Add(float64(taken))
	n.settled = settled{v, first}
	n.changed()
	return true
}

// settled is the ring as it was when a member had all that it owns: its own view, and
// which of their views the others were at.
type settled struct {
	view   *view
	epochs map[string]uint64
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
	answer := taking{Epoch: v.epoch, Lease: n.longest(), State: make(map[int][]byte)}
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
// now, or false where not all of it was taken.
func (n *Node) accept(asked time.Time, term uint64, answer taking) (here []int, ok bool) {
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
		if !n.keep(asked, term, p) {
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
	if !n.joined.Load() { // it has nothing, and the name that is gone may be another's
		return
	}
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
	for n.view.Load().heirs(n.name) && (n.state.Keys() > 0 || n.holdsAny()) {
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
