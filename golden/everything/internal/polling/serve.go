package polling

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"example.com/orders/internal/httpapi"
)

// Serve answers GET and HEAD with the thing, its ETag, and when to ask again.
// Where the caller has this version already, by If-None-Match, the answer is 304,
// and the thing is not loaded; with the parameter wait, such as wait=30s, the
// answer comes when there is another version, or when that time is over.
//
// It sets Cache-Control to "private, no-cache" where the handler has set none.
func (r *Resource) Serve(w http.ResponseWriter, req *http.Request, key string) error {
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return httpapi.NewProblem(http.StatusBadRequest, "The query can't be read.")
	}
	wait, err := parseWait(query.Get("wait"), r.poller.config.MaxWait)
	if err != nil {
		return err
	}
	p := &poll{
		resource:    r,
		key:         key,
		w:           w,
		ifMatch:     parseTags(req.Header.Values("If-Match")),
		ifNoneMatch: parseTags(req.Header.Values("If-None-Match")),
	}
	// Without a tag there is nothing to compare with, and * is every version.
	p.wait = wait > 0 && len(p.ifNoneMatch.list) > 0 && !p.ifMatch.given
	result, err := p.run(req.Context(), wait)
	if err != nil && req.Context().Err() != nil {
		result = resultGone
	} else if err != nil && result == "" {
		result = resultFailed
	}
	r.poller.metrics.answers.WithLabelValues(result).Inc()
	return err
}

// waitPattern is a number, or what [time.ParseDuration] reads, however large.
var waitPattern = regexp.MustCompile(`^(\d+|\+?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)$`)

// parseWait reads how long a caller wants to wait, which most bounds.
func parseWait(text string, most time.Duration) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, most), nil //nolint:gosec // has 31 bits
	}
	wait, err := time.ParseDuration(text)
	if err != nil && waitPattern.MatchString(text) { // more than a Duration holds
		return most, nil
	}
	if err != nil || wait < 0 {
		return 0, httpapi.NewProblem(http.StatusBadRequest, "wait: say how long, such as 30s, or in seconds, such as 30.")
	}
	return min(wait, most), nil
}

// A poll is one request.
type poll struct {
	resource    *Resource
	key         string
	w           http.ResponseWriter
	ifMatch     tags
	ifNoneMatch tags
	wait        bool // the caller would wait
}

// run answers the request, or returns an error to be answered, and says what
// became of it.
func (p *poll) run(ctx context.Context, wait time.Duration) (result string, err error) {
	var (
		waiter  *waiter
		refused string
	)
	if p.wait {
		waiter, refused = p.resource.poller.enter(subject{p.resource, p.key})
		if waiter != nil {
			defer p.resource.poller.leave(waiter)
		}
	}
	version, err := p.resource.version(ctx, p.key, readVersion)
	if err != nil {
		return "", err
	}
	etag := version.etag()
	switch {
	case p.ifMatch.given && !p.ifMatch.strong(etag):
		p.w.Header().Set("ETag", etag)
		return resultRefused, httpapi.NewProblem(http.StatusPreconditionFailed, "The version is another one than If-Match says.")
	case !p.ifNoneMatch.weak(etag):
		state, err := p.resource.load(ctx, p.key)
		if err != nil {
			return "", err
		}
		return p.answer(state, resultFresh, p.after(state.version, 0)), nil
	case refused != "":
		return p.notModified(version, refused, p.retry(version)), nil
	case waiter == nil || version.Final:
		return p.notModified(version, resultNotModified, p.retry(version)), nil
	}
	return p.await(ctx, waiter, version, wait)
}

// await answers once there is another version, the time is over, or the service
// stops.
func (p *poll) await(ctx context.Context, waiter *waiter, version Version, wait time.Duration) (result string, err error) {
	poller := p.resource.poller
	// The server's timeouts are for requests that are answered at once. None is
	// lifted for good: a client that says nothing more must not stay for ever.
	if err := p.deadline(wait + poller.config.ReadTimeout + poller.config.WriteTimeout); err != nil {
		return "", err
	}
	begin := time.Now()
	changed, ended, err := p.park(ctx, waiter, &version, wait)
	poller.metrics.waited.Observe(time.Since(begin).Seconds())
	if ended == resultGone {
		return resultGone, err
	}
	// The answer waits for what the client said to send and did not, too.
	if deadlineErr := p.deadline(poller.config.WriteTimeout); deadlineErr != nil {
		return "", errors.Join(err, deadlineErr)
	}
	switch {
	case err != nil:
		return "", err
	case changed != nil:
		return p.answer(changed.state, resultChanged, p.after(version, changed.released)), nil
	case ended == resultDrained:
		return p.notModified(version, ended, p.after(version, poller.left)), nil
	}
	return p.notModified(version, ended, p.after(version, 0)), nil
}

// deadline moves the server's deadlines for this request and its answer.
func (p *poll) deadline(in time.Duration) error {
	control, at := http.NewResponseController(p.w), time.Now().Add(in)
	if err := errors.Join(control.SetReadDeadline(at), control.SetWriteDeadline(at)); err != nil {
		return fmt.Errorf("long poll: move the deadline: %w", err)
	}
	return nil
}

// park waits. It returns what was loaded with another version than the caller has,
// or why there is none, and moves version on to the last that it saw.
func (p *poll) park(ctx context.Context, waiter *waiter, version *Version, wait time.Duration) (changed *load, ended string, err error) {
	poller := p.resource.poller
	// Those who began together don't end together.
	timer := time.NewTimer(wait - rand.N(wait/10+1)) //nolint:gosec // spreads load, keeps no secret
	defer timer.Stop()
	poller.has(waiter, version.Tag)
	for {
		var loaded *load
		ended := ""
		select {
		case loaded = <-waiter.wake:
		case <-ctx.Done():
			return nil, resultGone, ctx.Err()
		case <-timer.C:
			ended = resultTimedOut
		case <-poller.drained:
			ended = resultDrained
		}
		if loaded == nil { // a change that came at the same time is the better answer
			select {
			case loaded = <-waiter.wake:
			default:
			}
		}
		if loaded != nil {
			state, err := loaded.get(ctx, p.resource, p.key)
			if err != nil {
				return nil, "", err
			}
			*version = state.version
			if !p.ifNoneMatch.weak(state.etag) {
				return loaded, "", nil
			}
			poller.has(waiter, version.Tag) // has changed, and back again
		}
		if ended == "" && version.Final {
			ended = resultTimedOut
		}
		if ended != "" {
			return nil, ended, nil
		}
	}
}

// answer writes the state, unless the caller has it by now.
func (p *poll) answer(s *state, result string, retry time.Duration) string {
	if p.ifNoneMatch.weak(s.etag) {
		return p.notModified(s.version, resultNotModified, retry)
	}
	header := p.w.Header()
	p.head(s.version, retry)
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(s.body)))
	p.w.WriteHeader(http.StatusOK)
	_, _ = p.w.Write(s.body) // fails where the client has gone away, which changes nothing
	return result
}

func (p *poll) notModified(version Version, result string, retry time.Duration) string {
	if result == resultDrained {
		p.w.Header().Set("Connection", "close") // comes back to another instance
	}
	p.head(version, retry)
	p.w.WriteHeader(http.StatusNotModified)
	return result
}

// head writes what a 304 says as well as a 200.
func (p *poll) head(version Version, retry time.Duration) {
	header := p.w.Header()
	header.Set("ETag", version.etag())
	if header.Get("Cache-Control") == "" {
		header.Set("Cache-Control", "private, no-cache")
	}
	if version.Final {
		return
	}
	// Retry-After has whole seconds only. They are rounded by chance, so that
	// they are spread as the milliseconds are, and not longer by the mean.
	seconds := int(retry.Seconds() + rand.Float64()) //nolint:gosec // spreads load, keeps no secret
	header.Set("Retry-After", strconv.Itoa(seconds))
	header.Set("Retry-After-Ms", strconv.FormatInt(retry.Milliseconds(), 10))
}

// retry returns when a caller who does not wait should ask again, different for
// each.
func (p *poll) retry(version Version) time.Duration {
	config := p.resource.poller.config
	retry := config.Retry
	if version.Retry > 0 {
		retry = version.Retry
	}
	return retry + time.Duration(float64(retry)*config.RetrySpread*rand.Float64()) //nolint:gosec // spreads load, keeps no secret
}

// after returns when a caller should ask again who waits, and so can at once: but
// not all who were released together at one time.
func (p *poll) after(version Version, released int) time.Duration {
	if !p.wait {
		return p.retry(version)
	}
	if released <= 1 {
		return 0
	}
	spread := time.Duration(float64(released) / float64(p.resource.poller.config.ReturnRate) * float64(time.Second))
	return rand.N(spread + 1) //nolint:gosec // spreads load, keeps no secret
}
