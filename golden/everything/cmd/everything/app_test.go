package main

import "testing"

// testEnv lists what the parts need to have state of a test's own.
var testEnv = []func(testing.TB) map[string]string{
	databaseTestEnv,
	pubsubTestEnv,
	workflowTestEnv,
	uploadTestEnv,
}
