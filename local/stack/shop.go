package stack

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// ShopTables are the shop's tables as POLLER_TABLES wants them.
const ShopTables = "products,orders"

// ShopWindow is the product that is in the shop's window: it sells best and is never retired.
const ShopWindow = 42

//go:embed shop.sql
var shopSchema string

// Shop keeps selling: stock goes down and up, prices change, orders come and go, products are retired and replaced.
type Shop struct {
	conn    *pgx.Conn
	random  *rand.Rand
	changed atomic.Int64

	products    []int64 // ids on sale
	first, next int64   // orders first..next-1 are kept
}

// keptOrders is how many orders the shop remembers, so that the demo does not grow for ever.
const keptOrders = 5000

// OpenShop creates the tables, fills them if they are empty, and looks at what is on sale.
func OpenShop(ctx context.Context, dsn string) (*Shop, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	s := &Shop{conn: conn, random: rand.New(rand.NewPCG(4, 2))}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the shop: %w", err), conn.Close(ctx))
	}
	return s, nil
}

func (s *Shop) open(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, shopSchema); err != nil {
		return err
	}
	err := s.conn.QueryRow(ctx, `SELECT coalesce(min(order_id), 1), coalesce(max(order_id), 0) + 1 FROM orders`).Scan(&s.first, &s.next)
	if err != nil {
		return err
	}
	rows, err := s.conn.Query(ctx, `SELECT id FROM products WHERE id <> $1 ORDER BY id`, ShopWindow)
	if err != nil {
		return err
	}
	s.products, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	if err == nil && len(s.products) < 10 {
		err = errors.New("the table products is there but almost empty; the shop needs one of its own")
	}
	return err
}

// Changed is how many rows the shop has changed so far.
func (s *Shop) Changed() int64 { return s.changed.Load() }

// Close closes the connection.
func (s *Shop) Close() error { return s.conn.Close(context.Background()) }

// Sell makes about this many transactions a second until ctx ends, which is no error.
func (s *Shop) Sell(ctx context.Context, perSecond int) error {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error { return s.event(ctx, tx) }); err != nil && ctx.Err() == nil {
			return fmt.Errorf("sell: %w", err)
		}
	}
}

// event is one thing that happens in a shop.
func (s *Shop) event(ctx context.Context, tx pgx.Tx) error {
	switch n := s.random.IntN(100); {
	case n < 55:
		return s.order(ctx, tx)
	case n < 75:
		return s.do(ctx, tx, `UPDATE products SET inventory_count = inventory_count + 11, updated_at = now() WHERE id = $1`, s.product())
	case n < 90:
		return s.do(ctx, tx, `UPDATE products SET price = greatest(0.90, price + $2::int), updated_at = now() WHERE id = $1`, s.product(), s.random.IntN(3)-1)
	case n < 95:
		return s.do(ctx, tx, `DELETE FROM orders WHERE order_id = $1 AND line_no = 2`, s.first+s.random.Int64N(max(1, s.next-s.first)))
	default:
		return s.replace(ctx, tx)
	}
}

// order sells one to three products, and forgets the oldest order when there are enough.
func (s *Shop) order(ctx context.Context, tx pgx.Tx) error {
	const sale = `WITH sold AS (
		UPDATE products SET inventory_count = greatest(0, inventory_count - $4), updated_at = now() WHERE id = $3 RETURNING id, price)
		INSERT INTO orders (order_id, line_no, product_id, quantity, unit_price) SELECT $1, $2::int, id, $4::int, price FROM sold`
	for line := range 1 + s.random.IntN(3) {
		if err := s.do(ctx, tx, sale, s.next, line+1, s.product(), 1+s.random.IntN(3)); err != nil {
			return err
		}
		s.changed.Add(1) // the product; do counts the order's line
	}
	s.next++
	if s.next-s.first <= keptOrders {
		return nil
	}
	s.first++
	return s.do(ctx, tx, `DELETE FROM orders WHERE order_id < $1`, s.first)
}

// replace retires a product and puts a new one in its place, with a new id.
func (s *Shop) replace(ctx context.Context, tx pgx.Tx) error {
	const successor = `WITH retired AS (DELETE FROM products WHERE id = $1 RETURNING *)
		INSERT INTO products (sku, name, price, inventory_count, attributes) SELECT sku, name, price, 100, attributes FROM retired RETURNING id`
	i := s.random.IntN(len(s.products))
	if err := tx.QueryRow(ctx, successor, s.products[i]).Scan(&s.products[i]); err != nil {
		return err
	}
	s.changed.Add(2)
	return nil
}

// product picks one; every tenth is the one in the window.
func (s *Shop) product() int64 {
	if s.random.IntN(10) == 0 {
		return ShopWindow
	}
	return s.products[s.random.IntN(len(s.products))]
}

func (s *Shop) do(ctx context.Context, tx pgx.Tx, sql string, args ...any) error {
	tag, err := tx.Exec(ctx, sql, args...)
	s.changed.Add(tag.RowsAffected())
	return err
}
