//go:build temporal

package workflow

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/failure/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/converter"
	temporallog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	temporalworkflow "go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A recorder writes histories as a cluster does, event by event.
type recorder struct {
	t      testing.TB
	events []*history.HistoryEvent
	clock  time.Time
	done   int64 // event of the workflow task that was completed last
}

func (r *recorder) event(kind enums.EventType, set func(*history.HistoryEvent)) int64 {
	r.clock = r.clock.Add(10 * time.Millisecond)
	e := &history.HistoryEvent{EventId: int64(len(r.events)) + 1, EventTime: timestamppb.New(r.clock), EventType: kind}
	set(e)
	r.events = append(r.events, e)
	return e.GetEventId()
}

func (r *recorder) payloads(values ...any) *common.Payloads {
	r.t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayloads(values...)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// begin records the start of an order's workflow.
func (r *recorder) begin(in temporalOrder) {
	r.event(enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, func(e *history.HistoryEvent) {
		e.Attributes = &history.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &history.WorkflowExecutionStartedEventAttributes{
				WorkflowType: &common.WorkflowType{Name: temporalWorkflow},
				TaskQueue:    &taskqueue.TaskQueue{Name: "fulfilments"},
				Input:        r.payloads(in),
			},
		}
	})
	r.task()
}

// task records that a worker took the workflow and said what comes next.
func (r *recorder) task() {
	scheduled := r.event(enums.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, func(e *history.HistoryEvent) {
		e.Attributes = &history.HistoryEvent_WorkflowTaskScheduledEventAttributes{
			WorkflowTaskScheduledEventAttributes: &history.WorkflowTaskScheduledEventAttributes{Attempt: 1},
		}
	})
	started := r.event(enums.EVENT_TYPE_WORKFLOW_TASK_STARTED, func(e *history.HistoryEvent) {
		e.Attributes = &history.HistoryEvent_WorkflowTaskStartedEventAttributes{
			WorkflowTaskStartedEventAttributes: &history.WorkflowTaskStartedEventAttributes{ScheduledEventId: scheduled},
		}
	})
	r.done = r.event(enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, func(e *history.HistoryEvent) {
		e.Attributes = &history.HistoryEvent_WorkflowTaskCompletedEventAttributes{
			WorkflowTaskCompletedEventAttributes: &history.WorkflowTaskCompletedEventAttributes{ScheduledEventId: scheduled, StartedEventId: started},
		}
	})
}

// step records a step that went through or, with a reason, failed for good.
func (r *recorder) step(step Step, reason string) {
	scheduled := r.event(enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, func(e *history.HistoryEvent) {
		e.Attributes = &history.HistoryEvent_ActivityTaskScheduledEventAttributes{
			ActivityTaskScheduledEventAttributes: &history.ActivityTaskScheduledEventAttributes{
				ActivityId:                   sequence(e.GetEventId()),
				ActivityType:                 &common.ActivityType{Name: string(step)},
				WorkflowTaskCompletedEventId: r.done,
			},
		}
	})
	started := r.event(enums.EVENT_TYPE_ACTIVITY_TASK_STARTED, func(e *history.HistoryEvent) {
		e.Attributes = &history.HistoryEvent_ActivityTaskStartedEventAttributes{
			ActivityTaskStartedEventAttributes: &history.ActivityTaskStartedEventAttributes{ScheduledEventId: scheduled, Attempt: 1},
		}
	})
	if reason == "" {
		r.event(enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, func(e *history.HistoryEvent) {
			e.Attributes = &history.HistoryEvent_ActivityTaskCompletedEventAttributes{
				ActivityTaskCompletedEventAttributes: &history.ActivityTaskCompletedEventAttributes{ScheduledEventId: scheduled, StartedEventId: started},
			}
		})
	} else {
		r.event(enums.EVENT_TYPE_ACTIVITY_TASK_FAILED, func(e *history.HistoryEvent) {
			e.Attributes = &history.HistoryEvent_ActivityTaskFailedEventAttributes{
				ActivityTaskFailedEventAttributes: &history.ActivityTaskFailedEventAttributes{
					ScheduledEventId: scheduled, StartedEventId: started,
					Failure: &failure.Failure{Message: reason, FailureInfo: &failure.Failure_ApplicationFailureInfo{
						ApplicationFailureInfo: &failure.ApplicationFailureInfo{Type: temporalPermanent, NonRetryable: true},
					}},
				},
			}
		})
	}
	r.task()
}

// window records that the time to cancel began, and how it ended.
func (r *recorder) window(length time.Duration, cancelled bool) {
	id := ""
	started := r.event(enums.EVENT_TYPE_TIMER_STARTED, func(e *history.HistoryEvent) {
		id = sequence(e.GetEventId())
		e.Attributes = &history.HistoryEvent_TimerStartedEventAttributes{
			TimerStartedEventAttributes: &history.TimerStartedEventAttributes{
				TimerId: id, StartToFireTimeout: durationpb.New(length), WorkflowTaskCompletedEventId: r.done,
			},
		}
	})
	if !cancelled {
		r.clock = r.clock.Add(length)
		r.event(enums.EVENT_TYPE_TIMER_FIRED, func(e *history.HistoryEvent) {
			e.Attributes = &history.HistoryEvent_TimerFiredEventAttributes{
				TimerFiredEventAttributes: &history.TimerFiredEventAttributes{TimerId: id, StartedEventId: started},
			}
		})
		r.task()
		return
	}
	r.event(enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, func(e *history.HistoryEvent) {
		e.Attributes = &history.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
			WorkflowExecutionSignaledEventAttributes: &history.WorkflowExecutionSignaledEventAttributes{SignalName: temporalCancel, Input: r.payloads(true)},
		}
	})
	r.task()
	r.event(enums.EVENT_TYPE_TIMER_CANCELED, func(e *history.HistoryEvent) {
		e.Attributes = &history.HistoryEvent_TimerCanceledEventAttributes{
			TimerCanceledEventAttributes: &history.TimerCanceledEventAttributes{TimerId: id, StartedEventId: started, WorkflowTaskCompletedEventId: r.done},
		}
	})
}

func (r *recorder) end(outcome Outcome) *history.History {
	r.event(enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, func(e *history.HistoryEvent) {
		e.Attributes = &history.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &history.WorkflowExecutionCompletedEventAttributes{
				Result: r.payloads(outcome), WorkflowTaskCompletedEventId: r.done,
			},
		}
	})
	return &history.History{Events: r.events}
}

// histories are what workflows that run today have behind them. Add to them when
// the workflow changes, and keep the old ones for as long as such workflows run.
func histories(t testing.TB) map[string]*history.History {
	in := temporalOrder{Order{"order", "desk", 1, 5000, "DE"}, time.Hour, 10 * time.Second, Attempts{Step: 5, Undo: 100}}
	begin := func() *recorder {
		r := &recorder{t: t, clock: time.Unix(1_900_000_000, 0)}
		r.begin(in)
		return r
	}
	completed := begin()
	completed.step(Reserve, "")
	completed.step(Charge, "")
	completed.window(in.Window, false)
	completed.step(Ship, "")
	completed.step(Finish, "")

	declined := begin()
	declined.step(Reserve, "")
	declined.step(Charge, "charge: the card was declined")
	declined.step(Refund, "")
	declined.step(Release, "")
	declined.step(Finish, "")

	cancelled := begin()
	cancelled.step(Reserve, "")
	cancelled.step(Charge, "")
	cancelled.window(in.Window, true)
	cancelled.step(Refund, "")
	cancelled.step(Release, "")
	cancelled.step(Finish, "")
	return map[string]*history.History{
		"completed": completed.end(Completed), "declined": declined.end(Compensated), "cancelled": cancelled.end(Cancelled),
	}
}

// Workflows that began with an earlier build can be gone on with by this one.
func TestReplay(t *testing.T) {
	for name, h := range histories(t) {
		t.Run(name, func(t *testing.T) {
			if err := replay(t, temporalFulfil, h); err != nil {
				t.Error(err)
			}
		})
	}
}

// The replay notices a workflow whose calls have changed.
func TestReplayFindsAChange(t *testing.T) {
	for name, changed := range map[string]func(temporalworkflow.Context, temporalOrder) (Outcome, error){
		"another order of steps": func(ctx temporalworkflow.Context, in temporalOrder) (Outcome, error) {
			f := temporalRun{in: in}
			if err := f.step(ctx, Charge); err != nil {
				return "", err
			}
			return Completed, f.step(ctx, Reserve)
		},
		"a step less": func(ctx temporalworkflow.Context, in temporalOrder) (Outcome, error) {
			f := temporalRun{in: in}
			if err := f.step(ctx, Reserve); err != nil {
				return "", err
			}
			return Completed, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			// The code is that of all errors about histories that do not fit.
			if err := replay(t, changed, histories(t)["completed"]); err == nil || !strings.Contains(err.Error(), "TMPRL1100") {
				t.Errorf("it was not noticed: %v", err)
			}
		})
	}
}

func replay(t testing.TB, workflow any, h *history.History) error {
	t.Helper()
	r := worker.NewWorkflowReplayer()
	r.RegisterWorkflowWithOptions(workflow, temporalworkflow.RegisterOptions{Name: temporalWorkflow})
	return r.ReplayWorkflowHistory(temporallog.NewStructuredLogger(slog.New(slog.DiscardHandler)), h)
}

// sequence is the id that the SDK gives to what the event of that number begins.
func sequence(event int64) string { return strconv.FormatInt(event, 10) }
