package retries

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/riverqueue/river"
)

// A Webhook is a job that posts a payload to a URL: the demonstration of this
// package, to keep or to delete.
type Webhook struct {
	// ID goes with each attempt as Idempotency-Key, so that the receiver can
	// tell a repetition from a second event.
	ID string `json:"id"`
	// URL is where to post. Its host must be one of RETRIES_WEBHOOK_HOSTS.
	URL string `json:"url"`
	// Payload is posted as it is.
	Payload json.RawMessage `json:"payload"`
}

// Kind implements [river.JobArgs].
func (Webhook) Kind() string { return "webhook" }

// A Deliverer delivers webhooks.
type Deliverer struct {
	river.WorkerDefaults[Webhook]
	client *http.Client
	hosts  []string
}

// Deliverer returns a worker that posts through next to the configured hosts.
// It follows no redirect: that could lead to a host which isn't one of them.
func (r *Retries) Deliverer(next http.RoundTripper) *Deliverer {
	return &Deliverer{
		client: &http.Client{
			Transport:     r.Transport(next),
			Timeout:       r.config.WebhookTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		hosts: r.config.WebhookHosts,
	}
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// isHost reports whether s is what the host of a URL can be, with or without a
// port.
func isHost(s string) bool {
	u, err := url.Parse("http://" + s)
	if err != nil || u.Host != s {
		return false
	}
	if port := strings.TrimPrefix(strings.TrimPrefix(s, "["+u.Hostname()+"]"), u.Hostname()); port != "" {
		if n, err := strconv.Atoi(u.Port()); err != nil || n < 1 || n > math.MaxUint16 {
			return false
		}
	}
	if strings.HasPrefix(s, "[") {
		_, err := netip.ParseAddr(u.Hostname())
		return err == nil
	}
	return hostPattern.MatchString(u.Hostname())
}

// Check reports why nothing may be posted to rawURL, if so.
func (d *Deliverer) Check(rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("url: must be an http or https URL without a user")
	}
	if !slices.Contains(d.hosts, u.Host) {
		return fmt.Errorf("url: the host %q is not one that webhooks may go to; RETRIES_WEBHOOK_HOSTS lists them", u.Host)
	}
	return nil
}

// Work implements [river.Worker]. A URL that may not be posted to, and an
// answer that says the request is wrong, are permanent errors.
func (d *Deliverer) Work(ctx context.Context, job *river.Job[Webhook]) error {
	if err := d.Check(job.Args.URL); err != nil {
		return Permanent(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, job.Args.URL, bytes.NewReader(job.Args.Payload))
	if err != nil {
		return Permanent(fmt.Errorf("webhook: %w", err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", job.Args.ID)
	resp, err := d.client.Do(req)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	discard(resp)
	switch {
	case resp.StatusCode < 300:
		return nil
	case failed(ctx, resp, nil) || resp.StatusCode > 500:
		return fmt.Errorf("webhook: %s answered %s", job.Args.URL, resp.Status)
	default:
		return Permanent(fmt.Errorf("webhook: %s answered %s", job.Args.URL, resp.Status))
	}
}
