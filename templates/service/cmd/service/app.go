package main

import (
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/database"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/dlq"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/eventsourcing"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/hashring"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/jobstatus"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/polling"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/progress"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/pubsub"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/retries"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/sse"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/synchronous"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/upload"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/websocket"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workers"
	"github.com/seed-d146d9dc/scaffold/templates/service/internal/workflow"
)

// name is the service's name in its traces and messages.
const name = "service"

// An App is the service put together: what every part is built on, and what
// the parts hand to each other.
type App struct {
	host

	database      *database.Pool
	polling       *polling.Poller
	pubsub        *pubsub.Bus
	sse           *sse.Hub
	websocket     *websocket.Hub
	hashring      *hashring.Node
	synchronous   *synchronous.Gate
	workers       *workers.Pool
	jobstatus     *jobstatus.Board
	progress      *progress.Tracker
	retries       *retries.Retries
	dlq           *dlq.Queue
	eventsourcing *eventsourcing.Log
	workflow      *workflow.Fulfilments
	upload        *upload.Uploads
}

// parts lists the service's parts in the order in which they are set up; they
// stop in the reverse order.
func (a *App) parts() []part {
	return []part{
		{"database", a.setupDatabase},
		{"polling", a.setupPolling},
		{"pubsub", a.setupPubsub},
		{"sse", a.setupSSE},
		{"sse_pubsub", a.setupSSEPubsub},
		{"websocket", a.setupWebSocket},
		{"websocket_pubsub", a.setupWebSocketPubsub},
		{"hashring", a.setupHashring},
		{"websocket_hashring", a.setupWebSocketHashring},
		{"synchronous", a.setupSynchronous},
		{"workers", a.setupWorkers},
		{"jobstatus", a.setupJobstatus},
		{"polling_jobstatus", a.setupPollingJobstatus},
		{"progress", a.setupProgress},
		{"sse_progress", a.setupSSEProgress},
		{"websocket_progress", a.setupWebSocketProgress},
		{"retries", a.setupRetries},
		{"dlq", a.setupDLQ},
		{"dlq_pubsub", a.setupDLQPubsub},
		{"eventsourcing", a.setupEventsourcing},
		{"eventsourcing_pubsub", a.setupEventsourcingPubsub},
		{"workflow", a.setupWorkflow},
		{"upload", a.setupUpload},
		{"upload_workers", a.setupUploadWorkers},
	}
}
