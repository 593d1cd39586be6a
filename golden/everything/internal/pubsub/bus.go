// Package pubsub owns publishing and subscribing over NATS: the server in this
// process or the connection to a cluster, the JetStream stream that holds all
// topics, and reading from it so that nothing is lost on the way.
//
// It knows no topic by name. It is the only package that speaks NATS.
package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// A Bus publishes and reads messages. It is safe for concurrent use.
type Bus struct {
	config  Config
	log     *slog.Logger
	metrics metrics
	tracer  trace.Tracer
	server  *embedded // nil with a cluster
	conn    *nats.Conn
	closed  chan struct{} // when conn is
	js      jetstream.JetStream
	stream  jetstream.Stream

	mu        sync.Mutex
	restarts  map[int]func() // called after each reconnect
	restartID int
}

// Open connects to the cluster, or starts a server in this process, and creates
// the stream or brings its limits up to date. The caller closes the bus.
func Open(ctx context.Context, config Config, log *slog.Logger, registry prometheus.Registerer, tracing trace.TracerProvider) (*Bus, error) {
	b := &Bus{
		config:   config,
		log:      log,
		tracer:   tracing.Tracer("pubsub"),
		closed:   make(chan struct{}),
		restarts: make(map[int]func()),
	}
	b.metrics = newMetrics(registry, b.connected)
	ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
	defer cancel()
	if err := b.connect(ctx); err != nil {
		return nil, err
	}
	if err := b.createStream(ctx); err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	return b, nil
}

func (b *Bus) connect(ctx context.Context) error {
	dialer := &startDialer{ctx: ctx}
	options := []nats.Option{
		nats.Name("service"),
		nats.Timeout(b.config.ConnectTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(200*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1), // a publish fails and is tried again here, rather than wait unseen
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(10 * time.Second), // notices a dead peer within 30 s
		nats.ReconnectHandler(b.reconnected),
		nats.DisconnectErrHandler(b.disconnected),
		nats.ErrorHandler(b.asyncError),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
	}
	url, where := b.config.URL, "NATS_URL"
	if url == "" {
		server, err := startEmbedded(b.config, b.log)
		if err != nil {
			return err
		}
		b.server, where = server, "PUBSUB_DIR"
		options = append(options, nats.InProcessServer(server))
	} else if b.config.Credentials != "" {
		options = append(options, nats.UserCredentials(b.config.Credentials))
	}
	if b.server == nil {
		options = append(options, nats.SetCustomDialer(dialer))
	}
	defer dialer.started()
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: connect to NATS: %w", where, err), b.server.stop())
	}
	b.conn = conn
	if b.js, err = jetstream.New(conn); err != nil {
		conn.Close()
		return errors.Join(fmt.Errorf("JetStream: %w", err), b.server.stop())
	}
	return nil
}

func (b *Bus) streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:       b.config.Stream,
		Subjects:   []string{b.subject(">")},
		Storage:    jetstream.FileStorage,
		Retention:  jetstream.LimitsPolicy,
		Discard:    jetstream.DiscardOld,
		Replicas:   b.config.Replicas,
		MaxAge:     b.config.MaxAge,
		MaxBytes:   b.config.MaxBytes,
		MaxMsgSize: b.config.MaxMessageBytes,
		Duplicates: b.config.DedupeWindow,
	}
}

// createStream makes the stream as configured. Instances that start at the same
// time with the same configuration don't disturb each other.
func (b *Bus) createStream(ctx context.Context) error {
	for {
		stream, err := b.createStreamOnce(ctx)
		if err == nil {
			b.stream = stream
			return nil
		}
		// A cluster that has just started has no leader yet, and may not answer.
		if permanent(err) || !sleep(ctx, 200*time.Millisecond) {
			return b.streamError(err)
		}
	}
}

func (b *Bus) createStreamOnce(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return b.js.CreateOrUpdateStream(ctx, b.streamConfig())
}

// streamError names the variable that is to be changed.
func (b *Bus) streamError(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeNoStorage, codeNoResources, codeAccountResources, codeStreamBytes:
			where := "the servers of NATS_URL"
			if b.server != nil {
				where = "the disk of PUBSUB_DIR=" + b.config.Dir
			}
			return fmt.Errorf("PUBSUB_MAX_BYTES=%d: %s can't set this aside, make it smaller or make room: %w", b.config.MaxBytes, where, err)
		case codeReplicas:
			return fmt.Errorf("PUBSUB_REPLICAS=%d: %w", b.config.Replicas, err)
		}
	}
	return fmt.Errorf("PUBSUB_STREAM=%s: %w", b.config.Stream, err)
}

// restoreStream makes the stream again where the servers have come back without
// it. It leaves one that is there alone: an instance with another configuration
// may have made it.
func (b *Bus) restoreStream(ctx context.Context) error {
	_, err := b.js.Stream(ctx, b.config.Stream)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	_, err = b.js.CreateStream(ctx, b.streamConfig())
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil
	}
	b.log.WarnContext(ctx, "pub/sub stream was gone; made anew", "stream", b.config.Stream, "error", err)
	return err
}

// answerTimeout is how long a server may take to answer when the bus opens, before it
// is asked again, and when it closes.
const answerTimeout = 2 * time.Second

// Close lets the messages that have arrived be handled, closes the connection
// and stops the server of this process. It gives up waiting when ctx is done.
func (b *Bus) Close(ctx context.Context) error {
	if b.server == nil && (!b.conn.IsConnected() || b.conn.FlushTimeout(answerTimeout) != nil) {
		b.conn.Close() // there is nobody to say goodbye to
		return nil
	}
	err := b.conn.Drain()
	if err == nil {
		select {
		case <-b.closed:
		case <-ctx.Done():
			err = fmt.Errorf("drain NATS: %w", ctx.Err())
		}
	} else if errors.Is(err, nats.ErrConnectionReconnecting) {
		err = nil // there is nobody to say goodbye to
	}
	b.conn.Close()
	return errors.Join(err, b.server.stop())
}

var errDisconnected = errors.New("no connection to NATS")

// Ready reports whether messages can be published and read. Where the server of
// this process has stopped storing, as after its disk was full, Ready starts it
// again once there is room.
func (b *Bus) Ready(ctx context.Context) error {
	if err := b.server.repair(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	info, err := b.info(ctx)
	if err != nil {
		return err
	}
	if err := quorum(info.Cluster); err != nil {
		return fmt.Errorf("%w: stream %s: %w", ErrUnavailable, b.config.Stream, err)
	}
	return nil
}

// lostContact is the silence after which a server counts as gone. Followers
// answer their leader each second.
const lostContact = 5 * time.Second

// quorum reports when too few of a stream's servers are there to store a
// message. A leader that has just lost its followers still answers.
func quorum(c *jetstream.ClusterInfo) error {
	if c == nil {
		return nil
	}
	if c.Leader == "" {
		return errors.New("it has no leader")
	}
	servers, there := 1+len(c.Replicas), 1
	for _, r := range c.Replicas {
		if !r.Offline && r.Active < lostContact {
			there++
		}
	}
	if there <= servers/2 {
		return fmt.Errorf("%d of %d servers are there, which is no majority", there, servers)
	}
	return nil
}

// A State is what the stream holds.
type State struct {
	// Epoch tells this stream from one of the same name that was there before:
	// their sequences have nothing to do with each other.
	Epoch string
	// First and Last are the sequences of the oldest and of the newest message.
	// First is Last+1 where there are none.
	First, Last uint64
}

// State asks the server what the stream holds.
func (b *Bus) State(ctx context.Context) (State, error) {
	info, err := b.info(ctx)
	if err != nil {
		return State{}, err
	}
	return State{
		Epoch: strconv.FormatInt(info.Created.UnixNano(), 36),
		First: max(info.State.FirstSeq, 1),
		Last:  info.State.LastSeq,
	}, nil
}

func (b *Bus) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	if !b.conn.IsConnected() {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, errDisconnected)
	}
	info, err := b.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: stream %s: %w", ErrUnavailable, b.config.Stream, err)
	}
	return info, nil
}

// Codes of JetStream that say what the library has no name for
// (https://github.com/nats-io/nats-server/blob/main/server/errors.json).
const (
	codeAccountResources jetstream.ErrorCode = 10002
	codeInvalidJSON      jetstream.ErrorCode = 10025
	codeNoResources      jetstream.ErrorCode = 10023 // also of a cluster that has just started
	codeMaxStreams       jetstream.ErrorCode = 10027
	codeNoStorage        jetstream.ErrorCode = 10047
	codeInvalidConfig    jetstream.ErrorCode = 10052
	codeStreamLimits     jetstream.ErrorCode = 10053
	codeMessageTooLarge  jetstream.ErrorCode = 10054
	codeStreamMismatch   jetstream.ErrorCode = 10056
	codeOtherStream      jetstream.ErrorCode = 10060
	codeSubjectOverlap   jetstream.ErrorCode = 10065
	codeReplicas         jetstream.ErrorCode = 10074
	codeFilterNotSubset  jetstream.ErrorCode = 10093
	codeHeaderTooLarge   jetstream.ErrorCode = 10097
	codeSealed           jetstream.ErrorCode = 10109
	codeMaxBytesRequired jetstream.ErrorCode = 10113
	codeNoLimits         jetstream.ErrorCode = 10120
	codeStreamBytes      jetstream.ErrorCode = 10122
)

// permanent reports whether NATS has understood and will never agree. Whatever
// else it says is tried again: a cluster without a quorum gives many reasons.
func permanent(err error) bool {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrAuthorization) {
		return true
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeBadRequest, jetstream.JSErrCodeStreamNameInUse,
		jetstream.JSErrCodeConsumerAlreadyExists, jetstream.JSErrCodeConsumerExists,
		jetstream.JSErrCodeDuplicateFilterSubjects, jetstream.JSErrCodeOverlappingFilterSubjects,
		jetstream.JSErrCodeConsumerEmptyFilter,
		codeAccountResources, codeInvalidJSON, codeMaxStreams, codeNoStorage, codeInvalidConfig,
		codeStreamLimits, codeMessageTooLarge, codeStreamMismatch, codeOtherStream, codeSubjectOverlap,
		codeReplicas, codeFilterNotSubset, codeHeaderTooLarge, codeSealed, codeMaxBytesRequired,
		codeNoLimits, codeStreamBytes:
		return true
	}
	return false
}

// sleep waits, and reports whether ctx is still alive then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *Bus) connected() bool { return b.conn != nil && b.conn.IsConnected() }

func (b *Bus) disconnected(_ *nats.Conn, err error) {
	if err != nil {
		b.log.Warn("NATS: disconnected", "error", err)
	}
}

func (b *Bus) reconnected(conn *nats.Conn) {
	b.metrics.reconnects.Inc()
	b.log.Info("NATS: reconnected", "url", conn.ConnectedUrlRedacted())
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, restart := range b.restarts {
		restart()
	}
}

func (b *Bus) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		b.metrics.overruns.Inc()
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	b.log.Warn("NATS", "subject", subject, "error", err)
}

// onReconnect has restart called after each reconnect, until it is removed.
func (b *Bus) onReconnect(restart func()) (remove func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.restartID++
	id := b.restartID
	b.restarts[id] = restart
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.restarts, id)
	}
}
