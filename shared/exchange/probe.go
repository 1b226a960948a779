package exchange

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Probe asks a program on this machine whether it is alive: a container without a shell has no other way to check its health.
// addr is host:port, or :port.
func Probe(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+RouteHealth, nil)
	if err != nil {
		return fmt.Errorf("ask %s for its health: %w", addr, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy stands between a program and its own machine
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask %s for its health: %w", addr, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", addr, response.Status)
	}
	return nil
}
