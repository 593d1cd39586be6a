package pubsub

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
)

// embedded is a NATS server in this process. It listens on no port.
type embedded struct {
	nats *server.Server
	lock *os.File
}

func startEmbedded(config Config, log *slog.Logger) (*embedded, error) {
	lock, err := lockDir(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("PUBSUB_DIR=%s: %w", config.Dir, err)
	}
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
		return nil, errors.Join(fmt.Errorf("PUBSUB_DIR=%s: %w", config.Dir, err), lock.Close())
	}
	s.SetLoggerV2(serverLog{log}, false, false, false)
	s.Start()
	e := &embedded{nats: s, lock: lock}
	if !s.ReadyForConnections(config.ConnectTimeout) || !s.JetStreamEnabled() {
		return nil, errors.Join(fmt.Errorf("PUBSUB_DIR=%s: the NATS server did not start; see the log above", config.Dir), e.stop())
	}
	return e, nil
}

// stop stops the server and gives its directory free. It may be called on nil.
func (e *embedded) stop() error {
	if e == nil {
		return nil
	}
	e.nats.Shutdown()
	e.nats.WaitForShutdown()
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
