//go:build unix

package pubsub_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/waittest"
)

// The disk takes nothing more, and later does again: messages are refused
// meanwhile, Ready says why, and all goes on without a restart of the service.
// The limit on the size of files stands for the disk. It is the whole process's,
// so the test runs in one of its own.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	const variable = "PUBSUB_TEST_STORE_FAILS"
	if os.Getenv(variable) == "" {
		self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoreFails$", "-test.v") //nolint:gosec // this test
		self.Env = append(os.Environ(), variable+"=1", "TEST_NATS_URL=")
		if out, err := self.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ) // the write fails, that is enough
	config := testConfig(t)
	config.PublishTimeout = 2 * time.Second
	b := open(t, config)
	got := follow(t, b, 0)

	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	full := old
	full.Cur = 512 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	var err error
	for i := 0; err == nil; i++ {
		if i > 100 {
			t.Fatal("the store took more than may be in a file")
		}
		data := fmt.Sprint(i) + strings.Repeat(" ", 20<<10)
		if _, err = b.Publish(t.Context(), pubsub.Message{Topic: "a", ID: fmt.Sprint(i), Data: []byte(data)}); err == nil {
			acknowledged = append(acknowledged, data)
		}
	}
	if !errors.Is(err, pubsub.ErrUnavailable) || !strings.Contains(err.Error(), "PUBSUB_DIR") {
		t.Errorf("publishing on the full disk: %v", err)
	}
	if err := b.Ready(t.Context()); !errors.Is(err, pubsub.ErrUnavailable) || !strings.Contains(err.Error(), "PUBSUB_DIR") {
		t.Errorf("ready on the full disk: %v", err)
	}

	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, func() error { return b.Ready(t.Context()) }) // there is room again
	publish(t, b, "a", "after")
	all := got.await(t, len(acknowledged)+1)
	wantEqual(t, "messages", append(acknowledged, "after"), all)
}
