package hashring

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/memberlist"
)

// A member is one of the ring, as it tells the others of itself.
type member struct {
	// ID is made up at each start: it tells processes of one name apart.
	ID string `json:"id"`
	// Peer is the address of its HTTP server for other members.
	Peer string `json:"peer"`
	// Lease is for how long it goes on answering once the others have lost it.
	Lease time.Duration `json:"lease"`
	// Leaving is set while it hands over what it has: it owns nothing any more,
	// and still answers to members.
	Leaving bool `json:"leaving,omitempty"`
	gossip  string
}

// A view is who is there, as far as this member knows. It never changes.
type view struct {
	members map[string]member
	ring    *Ring
	// hash is the same in all who have the same view.
	hash uint64
	// epoch counts the views of this member.
	epoch uint64
	since time.Time
}

func newView(members map[string]member, epoch uint64) *view {
	var stay []string
	hash := xxhash.New()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		_, _ = fmt.Fprintf(hash, "%q %q %t\n", name, members[name].ID, members[name].Leaving) // never fails
		if !members[name].Leaving {
			stay = append(stay, name)
		}
	}
	return &view{members: members, ring: NewRing(stay), hash: hash.Sum64(), epoch: epoch, since: time.Now()}
}

// heirs reports whether a member other than the one of that name stays.
func (v *view) heirs(name string) bool {
	for other, m := range v.members {
		if other != name && !m.Leaving {
			return true
		}
	}
	return false
}

// membership tells a node of members that come and go.
type membership struct {
	list *memberlist.Memberlist
	said *lines // by list
	tell func(name string, m *member)
	addr string // where it listens
	// namesake is set when another process turns out to have this one's name.
	namesake atomic.Bool

	mu     sync.Mutex
	self   member
	closed bool
	name   string
	log    *slog.Logger
}

// openMembership listens, and calls tell with each other member that is there or
// has changed, and with nil for one that is gone.
func openMembership(config Config, name string, self member, logger *slog.Logger, tell func(string, *member)) (*membership, error) {
	m := &membership{said: &lines{log: logger}, tell: tell, self: self, name: name, log: logger}
	c := memberlist.DefaultLANConfig()
	if ip, _ := address(config.GossipAddr); ip.IsLoopback() { // was checked by Validate
		c = memberlist.DefaultLocalConfig()
	}
	host, port, err := net.SplitHostPort(config.GossipAddr)
	if err != nil {
		return nil, err
	}
	if c.BindPort, err = strconv.Atoi(port); err != nil {
		return nil, err
	}
	c.Name, c.BindAddr, c.AdvertiseAddr, c.AdvertisePort = name, host, config.AdvertiseIP, c.BindPort
	c.RetransmitMult = 4
	c.ProbeInterval = config.ProbeInterval
	c.ProbeTimeout = min(c.ProbeTimeout, config.ProbeInterval/2)
	c.GossipInterval = min(c.GossipInterval, config.ProbeInterval)
	c.TCPTimeout = min(c.TCPTimeout, 2*time.Second) // of one address among several
	c.DeadNodeReclaimTime = config.ProbeInterval    // a killed member's name, at any address
	c.Delegate, c.Events, c.Conflict = delegate{m}, delegate{m}, delegate{m}
	c.Logger = log.New(m.said, "", 0)
	if c.SecretKey, err = config.key(); err != nil {
		return nil, err
	}
	if m.list, err = memberlist.Create(c); err != nil {
		return nil, fmt.Errorf("HASHRING_GOSSIP_ADDR=%s: %w", config.GossipAddr, err)
	}
	m.addr = m.list.LocalNode().Address()
	return m, nil
}

// join makes the members at the addresses known to each other, but for those known
// already. It returns how many there are besides this one.
func (m *membership) join(ctx context.Context, addrs []string, known func(addr string) bool) int {
	reached := 0
	for _, addr := range addrs {
		if addr == m.addr {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if known(addr) {
			reached++
			continue
		}
		if _, err := m.list.Join([]string{addr}); err != nil {
			m.log.DebugContext(ctx, "a member of the ring was not reached", "addr", addr, "error", err)
			continue
		}
		reached++
	}
	return reached
}

// compare exchanges all that is known with the member at the address, at once and by
// TCP: gossip goes by UDP, and what is lost of it comes with the next such exchange.
func (m *membership) compare(addr string) error {
	_, err := m.list.Join([]string{addr})
	return err
}

// leaving tells the others that this member owns nothing any more.
func (m *membership) leaving(timeout time.Duration) error {
	m.mu.Lock()
	m.self.Leaving = true
	closed := m.closed
	m.mu.Unlock()
	if closed {
		return nil
	}
	return m.list.UpdateNode(timeout)
}

// leave tells the others that this member is gone, which is not needed for it to
// close.
func (m *membership) leave(timeout time.Duration) error {
	m.mu.Lock()
	closed := m.closed
	m.mu.Unlock()
	if closed {
		return nil // memberlist would panic
	}
	return m.list.Leave(timeout)
}

func (m *membership) close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	err := m.list.Shutdown()
	m.said.end()
	return err
}

// A delegate is what memberlist asks and tells.
type delegate struct{ *membership }

func (d delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	meta, _ := json.Marshal(d.self) // a string and a bool always encode
	return meta
}

func (d delegate) NotifyJoin(n *memberlist.Node)   { d.notify(n) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.notify(n) }

func (d delegate) NotifyLeave(n *memberlist.Node) {
	if n.Name != d.name {
		d.tell(n.Name, nil)
	}
}

func (d delegate) notify(n *memberlist.Node) {
	if n.Name == d.name {
		return
	}
	var other member
	if err := json.Unmarshal(n.Meta, &other); err != nil || other.Peer == "" {
		d.log.Warn("a member of the ring says nothing of itself that is understood", "member", n.Name)
		return
	}
	other.gossip = n.Address()
	d.tell(n.Name, &other)
}

// NotifyConflict is called for another member of a name that is there. Who was first
// stays with those that know it.
func (d delegate) NotifyConflict(have, _ *memberlist.Node) {
	if have.Name == d.name {
		d.namesake.Store(true)
	}
}

func (delegate) NotifyMsg([]byte)                {}
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (delegate) LocalState(bool) []byte          { return nil }
func (delegate) MergeRemoteState([]byte, bool)   {}

// lines logs what memberlist says, whose lines begin with their level in brackets.
type lines struct {
	mu    sync.Mutex
	log   *slog.Logger
	ended bool
}

// end lets nothing more be said: memberlist doesn't wait for its goroutines to end.
func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return len(line), nil
	}
	level, text := slog.LevelDebug, strings.TrimSpace(string(line))
	for prefix, is := range map[string]slog.Level{
		"[ERR] ": slog.LevelWarn, "[ERROR] ": slog.LevelWarn, // it goes on, and says so again
		"[WARN] ": slog.LevelInfo, "[INFO] ": slog.LevelDebug, "[DEBUG] ": slog.LevelDebug,
	} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			level, text = is, strings.TrimPrefix(rest, "memberlist: ")
			break
		}
	}
	l.log.Log(context.Background(), level, "hashring gossip: "+text)
	return len(line), nil
}
