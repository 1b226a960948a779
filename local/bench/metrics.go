package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// batches asks the function how many it was sent.
func (t *turn) batches(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read the function's metrics: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return sumOf(string(text), "freshet_fn_batches_total"), err
}

// sumOf adds a counter's values over all its labels.
func sumOf(metrics, name string) (sum int) {
	for line := range strings.Lines(metrics) {
		rest, ours := strings.CutPrefix(line, name)
		if !ours || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
			continue
		}
		fields := strings.Fields(rest)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err == nil {
			sum += int(value)
		}
	}
	return sum
}
