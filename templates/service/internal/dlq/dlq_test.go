package dlq

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// defaults returns the configuration that an empty environment gives.
func defaults(t testing.TB) Config {
	t.Helper()
	config, err := env.ParseAsWithOptions[Config](env.Options{Environment: map[string]string{}})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func newQueue(t testing.TB, config Config, sources ...Source) *Queue {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	q, err := New(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		if err := q.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func TestValidateNamesTheVariable(t *testing.T) {
	t.Parallel()
	if err := defaults(t).Validate(); err != nil {
		t.Error(err)
	}
	for variable, breakIt := range map[string]func(*Config){
		"DLQ_RETENTION":       func(c *Config) { c.Retention = -1 },
		"DLQ_REQUEUE_RATE":    func(c *Config) { c.RequeueRate = 0 },
		"DLQ_REQUEUE_BURST":   func(c *Config) { c.RequeueBurst = 0 },
		"DLQ_PAGE_SIZE":       func(c *Config) { c.PageSize = 1001 },
		"DLQ_SAMPLE_INTERVAL": func(c *Config) { c.SampleInterval = 0 },
		"DLQ_STREAM_ATTEMPTS": func(c *Config) { c.StreamAttempts = 0 },
		"DLQ_STREAM_BACKOFF":  func(c *Config) { c.StreamBackoff = 2 * time.Hour },
		"DLQ_TIMEOUT":         func(c *Config) { c.Timeout = 0 },
	} {
		config := defaults(t)
		breakIt(&config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s: %v, want the variable named", variable, err)
		}
	}
}

// listed is a source of letters that are there from the start, for tests of what
// a queue makes of several sources.
type listed struct {
	Source
	name    string
	letters []Letter
}

func (l listed) Name() string { return l.name }

func (l listed) List(_ context.Context, query Query) ([]Letter, error) {
	letters := slices.Clone(l.letters)
	slices.SortFunc(letters, func(a, b Letter) int {
		return cmp.Or(b.DiedAt.Compare(a.DiedAt), cmp.Compare(b.Key, a.Key))
	})
	if p := query.After; p != nil {
		letters = slices.DeleteFunc(letters, func(l Letter) bool {
			return l.DiedAt.After(p.DiedAt) || l.DiedAt.Equal(p.DiedAt) && l.Key >= p.Key
		})
	}
	return letters[:min(len(letters), query.Limit)], nil
}

// Whatever the sources and however short the pages: the pages together are all
// letters, each once, the newest first.
func TestPagesOverSources(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var all []Letter
		q := newQueue(t, defaults(t))
		for i := range rapid.IntRange(0, 4).Draw(rt, "sources") {
			s := listed{name: fmt.Sprint("source", i)}
			for key := range rapid.Int64Range(0, 6).Draw(rt, "letters") {
				died := time.Unix(rapid.Int64Range(0, 3).Draw(rt, "died"), 0).UTC() // many at the same time
				s.letters = append(s.letters, Letter{ID: letterID(s.name, key+1), Source: s.name, Key: key + 1, DiedAt: died})
			}
			all = append(all, s.letters...)
			if err := q.Add(s); err != nil {
				rt.Fatal(err)
			}
		}
		limit := rapid.IntRange(1, 5).Draw(rt, "limit")
		var got []Letter
		for cursor := ""; ; {
			page, err := q.List(t.Context(), "", "", cursor, limit)
			if err != nil {
				rt.Fatal(err)
			}
			if len(page.Letters) > limit {
				rt.Fatalf("a page of %d letters, want at most %d", len(page.Letters), limit)
			}
			got = append(got, page.Letters...)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if !slices.IsSortedFunc(got, func(a, b Letter) int { return b.DiedAt.Compare(a.DiedAt) }) {
			rt.Errorf("not the newest first: %v", got)
		}
		byID := func(a, b Letter) bool { return a.ID < b.ID }
		if diff := gocmp.Diff(all, got, cmpopts.SortSlices(byID), cmpopts.EquateEmpty()); diff != "" {
			rt.Errorf("the pages are not all letters (-want +got):\n%s", diff)
		}
	})
}

func TestSourcesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	q := newQueue(t, defaults(t), listed{name: "jobs"})
	for _, name := range []string{"", "jobs", "dead-jobs"} {
		if err := q.Add(listed{name: name}); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
}

// An alert on a rate sees the first letter too.
func TestCountersBeginAtZero(t *testing.T) {
	t.Parallel()
	q := newQueue(t, defaults(t), listed{name: "jobs"})
	q.Expect("jobs", "tea", "coffee")
	for name, want := range map[string]struct {
		counter prometheus.Collector
		series  int
	}{
		"dead":      {q.metrics.dead, 2},
		"requeued":  {q.metrics.requeued, 1},
		"discarded": {q.metrics.discarded, 1},
	} {
		if got := testutil.CollectAndCount(want.counter); got != want.series {
			t.Errorf("%s: %d series, want %d", name, got, want.series)
		}
	}
}
