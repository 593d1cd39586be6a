// Command failover generates a service, starts two of it on one NATS cluster and
// one PostgreSQL, opens thousands of streams on each, kills one of them, and counts
// what its clients missed:
//
//	./internal/engines/with go run ./internal/failover
//
// Events are numbered for each topic, so each client sees for itself whether one
// was lost or came twice. It prints its figures, and exits with 1 where anything
// was lost, repeated or reset.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	var o options
	flag.IntVar(&o.clients, "clients", 5000, "streams on each of the two")
	flag.IntVar(&o.topics, "topics", 20, "topics of each kind")
	flag.IntVar(&o.sockets, "sockets", 20, "percent of the streams that are WebSockets")
	flag.DurationVar(&o.pause, "pause", 50*time.Millisecond, "time between two events")
	flag.IntVar(&o.events, "events", 600, "events in all; the kill comes after a third of them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

type options struct {
	clients, topics, sockets, events int
	pause                            time.Duration
}

// patterns are those of the service that is generated.
const patterns = "sse,websocket,pubsub,workers,progress"

func run(ctx context.Context, o options, out io.Writer) (err error) {
	tmp, err := os.MkdirTemp("", "failover")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	program, err := build(ctx, tmp)
	if err != nil {
		return err
	}
	var services [2]*service
	for i := range services {
		if services[i], err = start(ctx, program, filepath.Join(tmp, fmt.Sprint("data", i))); err != nil {
			return err
		}
		defer services[i].kill()
	}
	return try(ctx, o, services, out)
}

// build generates the service and builds it.
func build(ctx context.Context, tmp string) (string, error) {
	dir := filepath.Join(tmp, "orders")
	commands := []*exec.Cmd{
		exec.CommandContext(ctx, "go", "run", "./cmd/scaffold", "new", "orders", "--dir", dir, "--no-git", "--yes", "--with", patterns, "--set", "database=postgres"), // #nosec G204 -- our own
		exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(tmp, "service"), "./cmd/orders"),                                                                  // #nosec G204 -- our own
	}
	commands[1].Dir = dir
	for _, cmd := range commands {
		if output, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output)
		}
	}
	return filepath.Join(tmp, "service"), nil
}

// A service is one process of it.
type service struct {
	url string
	cmd *exec.Cmd
}

func start(ctx context.Context, program, data string) (*service, error) {
	if err := os.Mkdir(data, 0o750); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program) // #nosec G204 -- built above
	cmd.Dir = data
	cmd.Env = append(os.Environ(), "ADDR=127.0.0.1:0", "LOG_LEVEL=ERROR", "PUBSUB_REPLICAS=3",
		"NATS_URL="+os.Getenv("TEST_NATS_URL"), "DATABASE_URL="+os.Getenv("TEST_DATABASE_URL"),
		"SSE_MAX_CLIENTS=20000", "WEBSOCKET_MAX_CLIENTS=20000")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &service{cmd: cmd}
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	_, s.url, _ = strings.Cut(strings.TrimSpace(line), " listens on ")
	if s.url == "" {
		s.kill()
		return nil, fmt.Errorf("%s did not start: %w (run this by internal/engines/with)", program, err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return s, nil
}

// kill ends the process by SIGKILL.
func (s *service) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// try opens the streams, publishes, kills the first service meanwhile, and tells
// what the streams saw.
func try(ctx context.Context, o options, services [2]*service, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &world{services: services, seen: newTally(o.topics)}
	var all sync.WaitGroup
	var clients [2]int
	opened := make(chan error, 2*o.clients)
	slots := make(chan struct{}, 100) // that connect at once
	for i := range 2 * o.clients {
		c := &client{world: w, at: i % 2, doomed: i%2 == 0, topic: i / 2 % o.topics, socket: i/2*100/o.clients < o.sockets}
		clients[c.at]++
		all.Go(func() { c.run(ctx, slots, opened) })
	}
	begin := time.Now()
	for range 2 * o.clients {
		if err := <-opened; err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(out, "%d streams on each of two processes, %d %% of them WebSockets, opened in %.1f s\n", o.clients, o.sockets, time.Since(begin).Seconds())
	p := &publisher{world: w}
	for n := range o.events {
		if n == o.events/3 {
			w.killed.Store(time.Now())
			services[0].kill()
		}
		if err := p.publish(ctx, n, o.topics); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(o.pause):
		}
	}
	err := w.settled(ctx, o)
	cancel()
	all.Wait()
	return errors.Join(err, w.report(out, o, clients))
}

// A publisher publishes numbered events, in turn on both kinds of topics and, while
// there are two, on both processes.
type publisher struct {
	*world
	next [2][]int
}

func (p *publisher) publish(ctx context.Context, n, topics int) error {
	kind, topic := n%2, n/2%topics
	if p.next[kind] == nil {
		p.next[kind] = make([]int, topics)
	}
	p.next[kind][topic]++
	number := p.next[kind][topic]
	p.seen.send(kind, topic, number)
	to := 1
	if p.killed.Load() == nil {
		to = n / 2 % 2
	}
	method, path, body := http.MethodPut, fmt.Sprintf("/orders/%d/status", topic), fmt.Sprintf(`{"status":"%d"}`, number)
	if kind == 1 {
		method, path, body = http.MethodPost, fmt.Sprintf("/rooms/%d/messages", topic), fmt.Sprintf(`{"from":"failover","text":"%d"}`, number)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.services[to].url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, answer)
	}
	p.seen.publish(kind, topic)
	return nil
}

// report prints the figures. The error says what was lost.
func (w *world) report(out io.Writer, o options, clients [2]int) error {
	s := w.seen
	s.mu.Lock()
	defer s.mu.Unlock()
	var text bytes.Buffer
	fmt.Fprintf(&text, "%d events published, %d deliveries; p50 %s, p99 %s, longest %s\n", o.events, s.deliveries, at(s.took, .5), at(s.took, .99), at(s.took, 1))
	fmt.Fprintf(&text, "one process killed: %d of its %d clients came back to the other, p50 %s, p99 %s, longest %s after the kill\n",
		len(s.back), clients[0], at(s.back, .5), at(s.back, .99), at(s.back, 1))
	fmt.Fprintf(&text, "lost %d, repeated %d, resets %d\n", s.lost, s.repeated, s.resets)
	if _, err := out.Write(text.Bytes()); err != nil {
		return err
	}
	if s.lost+s.repeated+s.resets > 0 || len(s.back) != clients[0] {
		return errors.New("events were missed")
	}
	return nil
}

func at(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[int(q*float64(len(times)-1))].Round(100 * time.Microsecond)
}
