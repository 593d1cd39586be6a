package main

import (
	"example.com/everything/internal/database"
	"example.com/everything/internal/dlq"
	"example.com/everything/internal/eventsourcing"
	"example.com/everything/internal/hashring"
	"example.com/everything/internal/jobstatus"
	"example.com/everything/internal/polling"
	"example.com/everything/internal/progress"
	"example.com/everything/internal/pubsub"
	"example.com/everything/internal/retries"
	"example.com/everything/internal/sse"
	"example.com/everything/internal/synchronous"
	"example.com/everything/internal/upload"
	"example.com/everything/internal/websocket"
	"example.com/everything/internal/workers"
	"example.com/everything/internal/workflow"
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
