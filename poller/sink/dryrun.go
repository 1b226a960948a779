package sink

import (
	"context"
	"net/http"

	"freshet/shared/exchange"
)

// DryRun asks what a batch would do. With against it also asks what the keys hold now. It must not be sent to an endpoint that knows
// nothing of dry runs: that would take the batch.
func (c *Client) DryRun(ctx context.Context, body []byte, against bool) (receipt exchange.Receipt, a Answer) {
	query := "?" + exchange.QueryDryRun + "=1"
	if against {
		query += "&" + exchange.QueryAgainst + "=1"
	}
	a = c.do(ctx, http.MethodPost, c.base+exchange.RouteBatches+query, Body{body}, http.Header{})
	return receipt, c.decode(a, &receipt)
}
