package eventsourcing

// Exec changes what is stored, as nothing but a test does.
var Exec = exec
