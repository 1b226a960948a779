// Package exchange is what one HTTP exchange between poller and function means: routes, headers, status codes, and the
// bodies of everything that is not a batch.
package exchange

// Routes of the function.
const (
	RouteBatches  = "/v1/batches"  // POST a batch; "/" is an alias
	RouteSessions = "/v1/sessions" // POST OpenRequest, answers OpenResponse
	RouteCheck    = "/v1/check"    // GET, answers Check; ?sink= names the sink. POST a CheckRequest to have tables looked at too
	RouteVerify   = "/v1/verify"   // POST a batch, answers Comparison: nothing is written
	RouteScan     = "/v1/scan"     // POST ScanRequest, answers ScanResponse
	RouteSweep    = "/v1/sweep"    // POST SweepRequest, answers SweepResponse
	RouteHealth   = "/healthz"
	RouteReady    = "/readyz"
	RouteMetrics  = "/metrics"
)

// Query parameters of RouteBatches.
const (
	QueryDryRun = "dry_run" // "1": answer with the commands, touch nothing
	QueryFence  = "fence"   // "off": apply although a fence is there
	// QueryAgainst "1" has a dry run show what Redis has now beside each command.
	QueryAgainst = "against"
)

// Headers. What may differ between two attempts of one batch is here, never in the body.
const (
	HeaderAttempt = "Freshet-Attempt" // 1 for the first
	HeaderBatch   = "Freshet-Batch"   // the batch's id, for logs of proxies
)

// ContentType of every body that is not a problem.
const ContentType = "application/json"
