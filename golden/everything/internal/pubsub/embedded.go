package pubsub

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// embedded is a NATS server in this process. It listens on no port.
type embedded struct {
	config Config
	log    *slog.Logger
	lock   *os.File
	// replacing is held while another server takes the place of nats, and for
	// good once it is stopped.
	replacing sync.Mutex

	mu   sync.Mutex
	nats *server.Server
}

func startEmbedded(config Config, log *slog.Logger) (*embedded, error) {
	lock, err := lockDir(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("PUBSUB_DIR=%s: %w", config.Dir, err)
	}
	e := &embedded{config: config, log: log, lock: lock}
	if e.nats, err = runServer(config, log); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return e, nil
}

func runServer(config Config, log *slog.Logger) (*server.Server, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "service",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   config.Dir,
		SyncAlways: config.Sync,
		MaxPayload: max(config.MaxMessageBytes, server.MAX_PAYLOAD_SIZE),
	})
	if err != nil {
		return nil, fmt.Errorf("PUBSUB_DIR=%s: %w", config.Dir, err)
	}
	s.SetLoggerV2(serverLog{log}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(config.ConnectTimeout) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("PUBSUB_DIR=%s: the NATS server did not start; see the log above", config.Dir)
	}
	return s, nil
}

// InProcessConn connects to the server that runs now; the NATS library calls it
// again for each reconnect.
func (e *embedded) InProcessConn() (net.Conn, error) { return e.running().InProcessConn() }

func (e *embedded) running() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.nats
}

var errRestarting = errors.New("the NATS server of this process is being started again")

// repair starts the server again where it has given up on its store, which it
// does for good when a write fails. It does so only when the disk takes writes
// again, and returns nil when the store is well: the connection is then made
// anew. It may be called on nil, and is safe for concurrent use.
func (e *embedded) repair() error {
	if e == nil {
		return nil
	}
	if !e.replacing.TryLock() {
		return errRestarting
	}
	defer e.replacing.Unlock()
	health := e.running().Healthz(nil)
	if health.StatusCode == 200 {
		return nil
	}
	if err := tryDisk(e.config); err != nil {
		return fmt.Errorf("PUBSUB_DIR=%s: no message is stored (%s): %w", e.config.Dir, health.Error, err)
	}
	e.log.Warn("NATS: the store has failed; starting the server of this process again", "error", health.Error)
	old := e.running()
	old.Shutdown()
	old.WaitForShutdown()
	s, err := runServer(e.config, e.log)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.nats = s
	return nil
}

// tryDisk reports whether a file as large as a message, or a megabyte, can be
// written where the messages are.
func tryDisk(config Config) (err error) {
	file, err := os.CreateTemp(config.Dir, "try")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if _, err := file.Write(make([]byte, max(config.MaxMessageBytes, 1<<20))); err != nil {
		return err
	}
	return file.Sync()
}

// stop stops the server and gives its directory free. It may be called on nil.
func (e *embedded) stop() error {
	if e == nil {
		return nil
	}
	e.replacing.Lock() // and keep it: nothing is repaired any more
	s := e.running()
	s.Shutdown()
	s.WaitForShutdown()
	return e.lock.Close()
}

// lockDir keeps a second process out of the directory, which would spoil it.
// The lock ends with the process.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the configured directory
	if err != nil {
		return nil, err
	}
	if err := lockFile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("another instance uses it: give each its own, or all one NATS_URL: %w", err), file.Close())
	}
	return file, nil
}

// serverLog has the server's log written to the service's. Its notices are of
// interest only to someone who looks for something.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(format string, v ...any) {
	l.log.Debug("NATS: " + fmt.Sprintf(format, v...))
}
func (l serverLog) Warnf(format string, v ...any)  { l.log.Warn("NATS: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Fatalf(format string, v ...any) { l.log.Error("NATS: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Errorf(format string, v ...any) { l.log.Error("NATS: " + fmt.Sprintf(format, v...)) }
func (l serverLog) Debugf(string, ...any)          {}
func (l serverLog) Tracef(string, ...any)          {}
