package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"freshet/local/stack"
	"freshet/shared/exchange"
)

// reading is one look at everything. The first four count from the start.
type reading struct {
	at       time.Time
	changed  float64 // rows in Postgres
	messages float64
	batches  float64
	keys     float64 // written
	lag      time.Duration
	sample   sample
	trouble  error // why part of it is missing
}

// meter looks at Postgres, the poller and Redis from outside.
type meter struct {
	place place
	shop  *stack.Shop
	db    *pgx.Conn
	redis *redis.Client
	http  http.Client
	pick  picker
}

func newMeter(ctx context.Context, p place, shop *stack.Shop) (*meter, error) {
	options, err := redis.ParseURL(p.redis)
	if err != nil {
		return nil, errors.New("REDIS_URL is not a URL such as redis://127.0.0.1:6379/0") // the error would quote it
	}
	m := &meter{place: p, shop: shop, redis: redis.NewClient(options), http: http.Client{Timeout: time.Second}}
	if err := m.connect(ctx); err != nil {
		return nil, errors.Join(err, m.redis.Close())
	}
	if m.pick, err = m.newPicker(ctx); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// connect connects to Postgres, unless it still is.
func (m *meter) connect(ctx context.Context) error {
	if m.db != nil && !m.db.IsClosed() {
		return nil
	}
	config, err := pgx.ParseConfig(m.place.database)
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	config.RuntimeParams["timezone"] = "UTC" // as the values in Redis
	db, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		m.db = db
	}
	return err
}

func (m *meter) close() {
	_ = m.db.Close(context.Background()) // it only reads
	_ = m.redis.Close()
}

func (m *meter) read(ctx context.Context) reading {
	r := reading{at: time.Now()}
	if r.trouble = m.connect(ctx); r.trouble != nil {
		return r
	}
	metrics, err := m.metrics(ctx, m.place.adminURL())
	if err != nil {
		r.trouble = err
	}
	written, err := m.metrics(ctx, m.place.functionURL())
	if err != nil {
		r.trouble = err
	}
	r.keys = written.sum("freshet_fn_messages_total", `fate="written"`)
	r.messages = metrics.sum("freshet_messages_total")
	r.batches = metrics.sum("freshet_batches_total", `outcome="settled"`)
	r.lag = time.Duration(metrics.sum("freshet_lag_seconds") * float64(time.Second))
	if r.changed, err = m.changed(ctx); err != nil {
		r.trouble = err
	}
	if r.sample, err = m.sample(ctx); err != nil {
		r.trouble = err
	}
	return r
}

// changed counts rows: the shop knows; in another's database Postgres' statistics do, a moment late.
func (m *meter) changed(ctx context.Context) (n float64, err error) {
	if m.shop != nil {
		return float64(m.shop.Changed()), nil
	}
	err = m.db.QueryRow(ctx, `SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::float8 FROM pg_stat_user_tables s
		JOIN pg_publication_tables p ON p.schemaname = s.schemaname AND p.tablename = s.relname WHERE p.pubname = $1`,
		m.place.name("POLLER_PUBLICATION")).Scan(&n)
	return n, err
}

// samples are the lines of a metrics page.
type samples []string

func (m *meter) metrics(ctx context.Context, program string) (samples, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, program+exchange.RouteMetrics, nil)
	if err != nil {
		return nil, err
	}
	answer, err := m.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return readSamples(answer.Body)
}

func readSamples(r io.Reader) (lines samples, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		if line := s.Text(); strings.HasPrefix(line, "freshet_") {
			lines = append(lines, line)
		}
	}
	return lines, s.Err()
}

// sum adds up the values of a metric over all its labels, or over those that hold this text.
func (lines samples) sum(name string, labels ...string) (total float64) {
	for _, line := range lines {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' || !containsAll(rest, labels) {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err == nil {
			total += value
		}
	}
	return total
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
