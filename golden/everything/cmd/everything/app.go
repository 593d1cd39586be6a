package main

import (
	"example.com/orders/internal/database"
	"example.com/orders/internal/dlq"
	"example.com/orders/internal/eventsourcing"
	"example.com/orders/internal/hashring"
	"example.com/orders/internal/jobstatus"
	"example.com/orders/internal/polling"
	"example.com/orders/internal/progress"
	"example.com/orders/internal/pubsub"
	"example.com/orders/internal/retries"
	"example.com/orders/internal/sse"
	"example.com/orders/internal/synchronous"
	"example.com/orders/internal/upload"
	"example.com/orders/internal/websocket"
	"example.com/orders/internal/workers"
	"example.com/orders/internal/workflow"
)

// name is the service's name in its traces and messages.
const name = "everything"

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
