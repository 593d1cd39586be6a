package jobstatus

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"example.com/orders/internal/httpapi"
)

const (
	defaultPage = 20
	// How soon to ask again for a job that has not ended.
	minPoll = time.Second
	maxPoll = time.Minute
)

// ServeJob answers GET /jobs/{id}. Retry-After says when to ask again.
func (b *Board) ServeJob(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	if err := b.answer(w, r, id); err != nil {
		w.Header().Del("Cache-Control")
		return problem(r, err)
	}
	return nil
}

// An Answer answers a request for a job with its [Status], or returns an error of
// the board's. What it answers is not to be stored by caches.
type Answer func(w http.ResponseWriter, r *http.Request, id int64) error

// AnswerWith has [Board.ServeJob] answer in another way. Call it before the board
// serves.
func (b *Board) AnswerWith(answer Answer) { b.answer = answer }

// answerNow answers with the job as it stands.
func (b *Board) answerNow(w http.ResponseWriter, r *http.Request, id int64) error {
	s, err := b.Get(r.Context(), id)
	if err != nil {
		return err
	}
	if !s.State.Final() {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(pollIn(s.State, *s.RunAt, time.Now()).Seconds()))))
	}
	httpapi.WriteJSON(w, r, http.StatusOK, s)
	return nil
}

// pollIn returns in what time to ask again for a job that has not ended.
func pollIn(s State, runAt, now time.Time) time.Duration {
	if s == Scheduled || s == Retrying {
		return min(max(runAt.Sub(now), minPoll), maxPoll)
	}
	return minPoll
}

// ServeJobs answers GET /jobs with a page, of jobs in a state or of a kind where
// the query says so.
func (b *Board) ServeJobs(w http.ResponseWriter, r *http.Request) error {
	q, err := b.query(r.URL.Query())
	if err != nil {
		return err
	}
	page, err := b.List(r.Context(), q)
	if err != nil {
		return problem(r, err)
	}
	w.Header().Set("Cache-Control", "no-store")
	httpapi.WriteJSON(w, r, http.StatusOK, page)
	return nil
}

func (b *Board) query(values url.Values) (Query, error) {
	q := Query{
		State:  State(values.Get("state")),
		Kind:   values.Get("kind"),
		Cursor: values.Get("cursor"),
		Limit:  min(defaultPage, b.config.MaxPage),
	}
	if q.State != "" && q.State.jobStates() == nil {
		filters := slices.DeleteFunc(States(), func(s State) bool { return s.jobStates() == nil })
		return q, httpapi.NewProblem(http.StatusBadRequest, fmt.Sprintf("state: %q is none of %s.", q.State, filters))
	}
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > b.config.MaxPage {
			return q, httpapi.NewProblem(http.StatusBadRequest, fmt.Sprintf("limit: must be 1 to %d.", b.config.MaxPage))
		}
		q.Limit = n
	}
	return q, nil
}

// ServeCancel answers POST /jobs/{id}/cancel: 200 when the job is cancelled, 202
// when it still has to notice.
func (b *Board) ServeCancel(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	s, err := b.Cancel(r.Context(), id)
	if err != nil {
		return problem(r, err)
	}
	status := http.StatusOK
	if !s.State.Final() {
		status = http.StatusAccepted
		w.Header().Set("Location", s.Links["self"].Href)
	}
	httpapi.WriteJSON(w, r, status, s)
	return nil
}

func jobID(r *http.Request) (int64, error) {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return 0, problem(r, err)
	}
	return id, nil
}

// parseID reads a job's id, of which there is one form: no sign, no zero before it.
func parseID(s string) (int64, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != s {
		return 0, ErrNotFound
	}
	return id, nil
}

// problem is what callers are told of an error.
func problem(r *http.Request, err error) error {
	id := r.PathValue("id")
	switch {
	case errors.Is(err, ErrNotFound):
		return httpapi.NewProblem(http.StatusNotFound, fmt.Sprintf("There is no job %q, or its retention has ended.", id))
	case errors.Is(err, ErrFinished):
		return httpapi.NewProblem(http.StatusConflict, fmt.Sprintf("Job %q has finished and can't be cancelled.", id))
	case errors.Is(err, ErrCursor):
		return httpapi.NewProblem(http.StatusBadRequest, "cursor: take it from the `next` of a page.")
	case errors.Is(err, ErrBusy):
		p := httpapi.NewProblem(http.StatusServiceUnavailable, "Too many ask for jobs; try again later.")
		p.RetryAfter = minPoll
		return errors.Join(p, err)
	}
	return err
}
