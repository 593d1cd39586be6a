package pubsub

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"example.com/orders/internal/setting"
)

// Config says where the messages are kept and for how long.
type Config struct {
	// URL lists the servers of a NATS cluster with JetStream, separated by
	// commas. Without it a server of the service's own runs in this process,
	// which no other instance can reach.
	URL string `env:"NATS_URL"`
	// Credentials is the path of a NATS credentials file.
	Credentials string `env:"NATS_CREDENTIALS"`
	// Dir is where the server of the service's own keeps its messages.
	Dir string `env:"PUBSUB_DIR" envDefault:"data/pubsub"`
	// Sync makes the server of the service's own sync each message to the disk
	// before it is acknowledged. Without it a crash of the service loses
	// nothing, but a crash of the machine the last two minutes at worst.
	Sync bool `env:"PUBSUB_SYNC" envDefault:"false"`
	// Stream is the name of the JetStream stream that holds all topics, and the
	// first token of their subjects. Services that share a cluster need one each:
	// the wiring takes the service's name where it is not set.
	Stream string `env:"PUBSUB_STREAM"`
	// Replicas is on how many servers of the cluster each message is kept: 3
	// survives the loss of one.
	Replicas int `env:"PUBSUB_REPLICAS" envDefault:"1"`
	// MaxAge is how long a message is kept.
	MaxAge time.Duration `env:"PUBSUB_MAX_AGE" envDefault:"24h"`
	// MaxBytes is the size, in bytes, that all messages together may have; the
	// oldest make room for new ones. The server of the service's own starts only
	// where that is at most three quarters of what the disk has free.
	MaxBytes int64 `env:"PUBSUB_MAX_BYTES" envDefault:"1073741824"`
	// MaxMessageBytes is the size of the largest message, with its headers.
	MaxMessageBytes int32 `env:"PUBSUB_MAX_MESSAGE_BYTES" envDefault:"262144"`
	// DedupeWindow is how long a message's id is remembered: the same id again
	// is not stored again.
	DedupeWindow time.Duration `env:"PUBSUB_DEDUPE_WINDOW" envDefault:"2m"`
	// PublishTimeout is how long publishing may take, with the retries that get
	// it over a change of leader or a reconnect.
	PublishTimeout time.Duration `env:"PUBSUB_PUBLISH_TIMEOUT" envDefault:"5s"`
	// ConnectTimeout bounds the start: of the server, or of the connection.
	ConnectTimeout time.Duration `env:"PUBSUB_CONNECT_TIMEOUT" envDefault:"10s"`
	// AckWait is how long a member of a group may work on a message before
	// another gets it.
	AckWait time.Duration `env:"PUBSUB_ACK_WAIT" envDefault:"30s"`
	// MaxDeliver is how often a group tries a message before it is dropped.
	MaxDeliver int `env:"PUBSUB_MAX_DELIVER" envDefault:"5"`
}

var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Validate reports a value that NATS would refuse, or that leaves no limit.
func (c Config) Validate() error {
	const most = 24 * time.Hour
	return errors.Join(
		setting.Check(streamName.MatchString(c.Stream), "PUBSUB_STREAM=%s: must be 1 to 64 letters, digits, - and _", c.Stream),
		validURL(c.URL),
		setting.Check(c.URL != "" || c.Credentials == "", "NATS_CREDENTIALS=%s: NATS_URL is not set, and the server of this process takes none", c.Credentials),
		setting.Check(c.URL != "" || c.Dir != "", "PUBSUB_DIR: must be set where NATS_URL is not"),
		setting.Check(c.URL != "" || c.Replicas == 1, "PUBSUB_REPLICAS=%d: must be 1 where NATS_URL is not set", c.Replicas),
		setting.Between("PUBSUB_REPLICAS", c.Replicas, 1, 5),
		setting.Positive("PUBSUB_MAX_BYTES", c.MaxBytes),
		setting.Positive("PUBSUB_MAX_MESSAGE_BYTES", c.MaxMessageBytes),
		setting.Within("PUBSUB_MAX_MESSAGE_BYTES", int64(c.MaxMessageBytes), "PUBSUB_MAX_BYTES", c.MaxBytes, "or there is no room for one"),
		setting.Positive("PUBSUB_MAX_DELIVER", c.MaxDeliver),
		setting.Between("PUBSUB_MAX_AGE", c.MaxAge, time.Second, 100*366*24*time.Hour),
		setting.Between("PUBSUB_DEDUPE_WINDOW", c.DedupeWindow, 100*time.Millisecond, 366*24*time.Hour), // as NATS has it
		setting.Within("PUBSUB_DEDUPE_WINDOW", c.DedupeWindow, "PUBSUB_MAX_AGE", c.MaxAge, "the age of the oldest message"),
		setting.Between("PUBSUB_PUBLISH_TIMEOUT", c.PublishTimeout, time.Millisecond, most),
		setting.Between("PUBSUB_CONNECT_TIMEOUT", c.ConnectTimeout, time.Millisecond, most),
		setting.Between("PUBSUB_ACK_WAIT", c.AckWait, time.Millisecond, most),
	)
}

// validURL finds what the NATS library would not read. The library's error shows
// the URL, and so would this one's: there may be a password in it.
func validURL(list string) error {
	if list == "" {
		return nil
	}
	for server := range strings.SplitSeq(list, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		if u, err := url.Parse(server); err != nil || u.Host == "" {
			return errors.New("NATS_URL: must be URLs such as nats://host:4222 with commas between; write special characters of a password as %XX")
		}
	}
	return nil
}
