package workers

// For tests of what is kept of Idempotency-Keys.
var (
	ClaimKey   = claimKey
	DeleteKeys = deleteKeys
)
