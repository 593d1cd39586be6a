package workers

// For tests of what is kept of Idempotency-Keys, and of migrations.
var (
	ClaimKey    = claimKey
	DeleteKeys  = deleteKeys
	WhileLocked = whileLocked
)
