//go:build temporal

package main

import (
	"context"
	"errors"
	"net"
	"testing"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// A temporalGreeter lets a client connect, and knows nothing else.
type temporalGreeter struct {
	workflowservice.UnimplementedWorkflowServiceServer
}

// GetSystemInfo is what a client asks first.
func (temporalGreeter) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

// workflowTestEnv leads to what answers Temporal's health checks and nothing else,
// so that the service is ready. Workflows are tested in Temporal's own test
// environment, in internal/workflow.
func workflowTestEnv(t testing.TB) map[string]string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	checks := health.NewServer()
	checks.SetServingStatus("temporal.api.workflowservice.v1.WorkflowService", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, checks)
	workflowservice.RegisterWorkflowServiceServer(server, temporalGreeter{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // before it served
			t.Error(err)
		}
	})
	return map[string]string{"WORKFLOW_TEMPORAL_ADDRESS": l.Addr().String()}
}

var (
	workflowBadSettings = []string{
		"WORKFLOW_TEMPORAL_TLS=maybe", "WORKFLOW_TEMPORAL_API_KEY=key", "WORKFLOW_TEMPORAL_MAX_STEPS=0",
		"WORKFLOW_STEP_ATTEMPTS=0", "WORKFLOW_UNDO_ATTEMPTS=-1",
	}
	workflowDeadEngine = map[string]string{"WORKFLOW_TEMPORAL_ADDRESS": "127.0.0.1:1"}
)
