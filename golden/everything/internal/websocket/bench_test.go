package websocket

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
)

// BenchmarkFanOut publishes to a room and waits until all its clients, in the
// same process, have the message. It reports how long that takes from Publish on, for the median client and
// for the one at 99 %.
func BenchmarkFanOut(b *testing.B) {
	for _, clients := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			config := testConfig()
			config.MaxClients = clients
			h, err := New(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
			if err != nil {
				b.Fatal(err)
			}
			url := serve(b, h, nil)
			arrived := make(chan time.Time, clients)
			var reading sync.WaitGroup
			for range clients {
				conn, frames, err := rawDial(url + "a")
				if err != nil {
					b.Fatal(err)
				}
				reading.Go(func() {
					defer func() { _ = conn.Close() }() // the hub has closed it
					for {
						opcode, payload, err := readRaw(frames)
						switch {
						case err != nil:
							return
						case opcode == 8:
							if code := binary.BigEndian.Uint16(payload); code != 1012 {
								b.Errorf("closed with %d", code)
							}
							return
						case payload[9] != 'w': // {"type":"welcome"
							arrived <- time.Now()
						}
					}
				})
			}
			awaitClients(b, h, clients)
			var delays []time.Duration
			message := Message{Room: "a", Data: []byte(`{"from":"me","text":"hello"}`)}
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				if _, err := h.Publish(b.Context(), message); err != nil {
					b.Fatal(err)
				}
				for range clients {
					delays = append(delays, (<-arrived).Sub(begin))
				}
			}
			b.StopTimer()
			slices.Sort(delays)
			b.ReportMetric(float64(delays[len(delays)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(len(delays))/b.Elapsed().Seconds(), "deliveries/s")
			h.Drain()
			reading.Wait()
		})
	}
}
