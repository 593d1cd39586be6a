package hashring

import (
	"encoding/base64"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/seed-d146d9dc/scaffold/templates/service/internal/setting"
)

// Config says where this member is found, and how long it is trusted.
type Config struct {
	// Name is this member's, other than those of all others; empty makes one up
	// at each start.
	Name string `env:"HASHRING_NAME"`
	// GossipAddr is where members tell each other who is there, by TCP and UDP;
	// an IP address, where port 0 takes a free one.
	GossipAddr string `env:"HASHRING_GOSSIP_ADDR" envDefault:"127.0.0.1:0"`
	// PeerAddr is where other members send requests and state, by HTTP.
	PeerAddr string `env:"HASHRING_PEER_ADDR" envDefault:"127.0.0.1:0"`
	// AdvertiseIP is the address at which others reach both, where that is not
	// the one listened on.
	AdvertiseIP string `env:"HASHRING_ADVERTISE_IP"`
	// Join is the gossip addresses of members; any that is there will do. None
	// is a ring of one, until another joins it.
	Join []string `env:"HASHRING_JOIN"`
	// SecretKey is 32 bytes in base64 that all members share.
	SecretKey string `env:"HASHRING_SECRET_KEY"`
	// Quorum is how many members have to be there for any to answer: more than
	// half of all instances, so that of a split network one side answers.
	Quorum int `env:"HASHRING_QUORUM" envDefault:"1"`
	// Lease is how long a member that the others have lost goes on answering,
	// and how long its keys then wait for their next owner.
	Lease time.Duration `env:"HASHRING_LEASE" envDefault:"3s"`
	// ProbeInterval is how often a member looks whether another is alive.
	ProbeInterval time.Duration `env:"HASHRING_PROBE_INTERVAL" envDefault:"1s"`
	// Wait is how long a request waits for its key to have an owner.
	Wait time.Duration `env:"HASHRING_WAIT" envDefault:"2s"`
	// ForwardTimeout is how long the owner may take to answer; together with Wait and
	// a second it is at most HTTP_WRITE_TIMEOUT.
	ForwardTimeout time.Duration `env:"HASHRING_FORWARD_TIMEOUT" envDefault:"10s"`
	// MaxPassed is how many upgraded connections, such as sockets, this member passes
	// on to their owners at once; the next one is answered with 503.
	MaxPassed int `env:"HASHRING_MAX_PASSED" envDefault:"10000"`
	// LeaveTimeout is how long a member that stops waits until the others have
	// its state.
	LeaveTimeout time.Duration `env:"HASHRING_LEAVE_TIMEOUT" envDefault:"5s"`
}

// Validate reports addresses that nothing can listen on, and a ring that is open
// to the network without a key.
func (c Config) Validate() error {
	gossip, gossipErr := address(c.GossipAddr)
	peer, peerErr := address(c.PeerAddr)
	key, keyErr := c.key()
	var joinErrs []error
	for _, addr := range c.Join {
		_, _, err := net.SplitHostPort(addr)
		joinErrs = append(joinErrs, setting.Check(err == nil, "HASHRING_JOIN=%s: must be hosts and ports, with commas between them (%w)", addr, err))
	}
	local := gossipErr != nil || peerErr != nil || gossip.IsLoopback() && peer.IsLoopback()
	advertised := c.AdvertiseIP != "" || gossipErr != nil || peerErr != nil || !gossip.IsUnspecified() && !peer.IsUnspecified()
	return errors.Join(append(joinErrs,
		setting.Check(len(c.Name) <= 64 && strings.TrimSpace(c.Name) == c.Name, "HASHRING_NAME=%s: must be at most 64 bytes, with no space around them", c.Name),
		setting.Check(gossipErr == nil, "HASHRING_GOSSIP_ADDR=%s: must be an IP address and a port such as 127.0.0.1:7946 (%w)", c.GossipAddr, gossipErr),
		setting.Check(peerErr == nil, "HASHRING_PEER_ADDR=%s: must be an IP address and a port such as 127.0.0.1:7947 (%w)", c.PeerAddr, peerErr),
		setting.Check(c.AdvertiseIP == "" || net.ParseIP(c.AdvertiseIP) != nil, "HASHRING_ADVERTISE_IP=%s: must be an IP address", c.AdvertiseIP),
		setting.Check(advertised, "HASHRING_ADVERTISE_IP=%s: must say where other members reach this one, since it listens on every address", c.AdvertiseIP),
		setting.Check(keyErr == nil && (len(key) == 0 || len(key) == 32), "HASHRING_SECRET_KEY: must be 32 bytes in base64, as from openssl rand -base64 32"),
		setting.Check(local || c.SecretKey != "", "HASHRING_SECRET_KEY: must be set where HASHRING_GOSSIP_ADDR or HASHRING_PEER_ADDR is not loopback, or whoever reaches them has all the state"),
		setting.Between("HASHRING_QUORUM", c.Quorum, 1, 1000),
		setting.Between("HASHRING_LEASE", c.Lease, 100*time.Millisecond, time.Minute),
		setting.Between("HASHRING_PROBE_INTERVAL", c.ProbeInterval, 10*time.Millisecond, time.Minute),
		setting.Between("HASHRING_WAIT", c.Wait, 0, time.Minute),
		setting.Between("HASHRING_FORWARD_TIMEOUT", c.ForwardTimeout, time.Millisecond, time.Hour),
		setting.Between("HASHRING_MAX_PASSED", c.MaxPassed, 1, 1<<24),
		setting.Between("HASHRING_LEAVE_TIMEOUT", c.LeaveTimeout, time.Millisecond, time.Hour),
	)...)
}

// Longest is how long it takes at most until a request is answered: it waits for its
// key to have an owner, and is sent there once more.
func (c Config) Longest() time.Duration { return c.Wait + c.dialTimeout() + c.ForwardTimeout }

// dialTimeout is how long another member may take to accept a connection.
func (c Config) dialTimeout() time.Duration { return min(time.Second, c.ForwardTimeout) }

func (c Config) key() ([]byte, error) { return base64.StdEncoding.DecodeString(c.SecretKey) }

// address returns the IP of an address that can be listened on.
func address(addr string) (net.IP, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, err
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return nil, errors.New("no IP address")
	}
	return ip, nil
}
