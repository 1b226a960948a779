package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// shop is the schema of most tests. Every product's name has the mark that must not be seen in what a program prints.
const shop = `
CREATE TABLE products (id bigint PRIMARY KEY, name text NOT NULL DEFAULT '` + rowMarker + `', price numeric(12,2) NOT NULL DEFAULT 9.90,
	inventory_count int NOT NULL DEFAULT 0, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE orders (product_id bigint, customer_id bigint, quantity int NOT NULL DEFAULT 1, PRIMARY KEY (product_id, customer_id));`

// newShop is a rig with the shop in it, mirrored whole.
func newShop(t *testing.T) *rig {
	t.Helper()
	return newRig(t, "products,orders", shop)
}

// stock puts so many products and orders on the shelf.
func (r *rig) stock(products, orders int) {
	r.Helper()
	r.exec("INSERT INTO products (id, inventory_count) SELECT n, n % 100 FROM generate_series(1, $1) n", products)
	r.exec("INSERT INTO orders SELECT n % $1 + 1, n FROM generate_series(1, $2) n", products, orders)
}

// trade is customers at work: they insert, update and delete until they are told to stop.
type trade struct {
	r    *rig
	stop context.CancelFunc
	work sync.WaitGroup
	done atomic.Int64
}

// pace is the time between two deals of a customer, so that the load depends on the test and not on the machine.
const pace = 2 * time.Millisecond

// busy opens the shop to so many customers, who touch rows up to highest and add others beyond it.
func (r *rig) busy(customers, highest int) *trade {
	ctx, stop := context.WithCancel(r.Context())
	tr := &trade{r: r, stop: stop}
	for customer := range customers {
		db := dial(r.T, world.postgres.Database(r.name))
		tr.work.Go(func() {
			ticker := time.NewTicker(pace)
			defer ticker.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				<-ticker.C
				if err := deal(ctx, db, customer, n, highest); err != nil && ctx.Err() == nil {
					r.Errorf("customer %d: %v", customer, err)
					return
				}
				tr.done.Add(1)
			}
		})
	}
	r.Cleanup(func() { tr.close() })
	return tr
}

func deal(ctx context.Context, db *pgx.Conn, customer, n, highest int) error {
	id := 1 + rand.IntN(highest)
	sql, args := "", []any{id}
	switch n % 10 {
	case 0:
		sql, args = "INSERT INTO products (id, price) VALUES ($1, 1.50)", []any{highest + 1 + n*100 + customer}
	case 1:
		sql = "DELETE FROM products WHERE id = $1"
	case 2:
		sql = "INSERT INTO orders VALUES ($1, $2, 1) ON CONFLICT (product_id, customer_id) DO UPDATE SET quantity = orders.quantity + 1"
		args = []any{id, customer}
	case 3:
		sql, args = "DELETE FROM orders WHERE product_id = $1 AND customer_id = $2", []any{id, customer}
	case 4: // a deleted one comes back
		sql = "INSERT INTO products (id, name) VALUES ($1, 'back again') ON CONFLICT (id) DO NOTHING"
	default:
		sql = "UPDATE products SET inventory_count = inventory_count + 1, updated_at = clock_timestamp() WHERE id = $1"
	}
	if _, err := db.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// wantDeals waits until so many more deals are done.
func (tr *trade) wantDeals(more int64) {
	tr.r.Helper()
	until := tr.done.Load() + more
	eventually(tr.r.T, patience, func() error {
		if done := tr.done.Load(); done < until {
			return fmt.Errorf("%d of %d deals", done, until)
		}
		return nil
	})
}

// close sends the customers home.
func (tr *trade) close() {
	tr.stop()
	tr.work.Wait()
}

// soon is what "follows" means for a change on a machine that does little else.
const soon = time.Second

// wantValue waits until a key has this string.
func (r *rig) wantValue(key, want string) {
	r.Helper()
	took := eventually(r.T, patience, func() error {
		if got, _ := r.get(key); got != want {
			return fmt.Errorf("%s is %s, want %s", key, got, want)
		}
		return nil
	})
	r.wantSoon(key, took)
}

// wantNoKey waits until a key is gone.
func (r *rig) wantNoKey(key string) {
	r.Helper()
	took := eventually(r.T, patience, func() error {
		if got, there := r.get(key); there {
			return fmt.Errorf("%s is still %s", key, got)
		}
		return nil
	})
	r.wantSoon(key, took)
}

func (r *rig) wantSoon(key string, took time.Duration) {
	r.Helper()
	if took > soon {
		r.Errorf("%s followed after %s, want it within %s", key, took, soon)
	}
}
