package hashring

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/orders/internal/waittest"
)

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

// Members may have leases of their own: the keys of one that is lost wait for its own,
// also with a member that never saw it.
func TestALostMembersLeaseIsWaitedFor(t *testing.T) {
	const long = 3 * time.Second
	nodes := startRing(t, 3, func(c *Config) {
		if len(c.Join) == 0 {
			c.Lease = long
		}
	})
	killed := time.Now()
	if err := nodes[0].close(); err != nil { // and says nothing
		t.Fatal(err)
	}
	left := nodes[1:]
	waittest.Until(t, func() error {
		for _, n := range left {
			if len(n.view.Load().members) != len(left) {
				return fmt.Errorf("%s has not noticed", n.Name())
			}
		}
		return nil
	})
	wait := func(nodes ...*testNode) {
		waittest.Until(t, func() error {
			for _, n := range nodes {
				term, _ := n.leased()
				if v := n.view.Load(); len(v.members) != 3 || len(n.missing(v, term)) > 0 {
					return fmt.Errorf("%s has not all that it owns", n.Name())
				}
			}
			return nil
		})
		if took := time.Since(killed); took < long+long/10 {
			t.Errorf("its keys were taken after %s, and its lease is %s", took, long)
		}
	}
	wait(startNode(t, testConfig(left...)))
	wait(left...)
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
