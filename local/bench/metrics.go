package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// metrics are those of all functions, one after the other.
func (t *turn) metrics(ctx context.Context) (all string, err error) {
	for _, url := range t.urls {
		text, err := get(ctx, url+"/metrics")
		if err != nil {
			return "", fmt.Errorf("read the function's metrics: %w", err)
		}
		all += text
	}
	return all, nil
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// sumOf adds a counter's values over all its labels, or over those that have this one.
func sumOf(metrics, name string, label ...string) (sum int) {
	for line := range strings.Lines(metrics) {
		rest, ours := strings.CutPrefix(line, name)
		if !ours || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
			continue
		}
		if len(label) > 0 && !strings.Contains(rest, label[0]) {
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

// requests counts those that the functions have answered, by route; not those of this program.
func requests(metrics string) map[string]int {
	counts := map[string]int{}
	for line := range strings.Lines(metrics) {
		rest, ours := strings.CutPrefix(line, `freshet_fn_request_seconds_count{route="`)
		route, value, ok := strings.Cut(rest, `"} `)
		if n, err := strconv.Atoi(strings.TrimSpace(value)); ours && ok && err == nil && strings.HasPrefix(route, "/v1/") {
			counts[route] += n
		}
	}
	return counts
}
