package bench

import "context"

// Four of the nine columns: what the rules of the narrow turns use, and what their publication lists.
const few = "id, sku, name, price"

// narrowed makes the publication of the narrow turns as the poller would have it. It has to be there before the load, since the log is decoded
// with the publications of its time.
const narrowed = `
DROP PUBLICATION IF EXISTS bench_narrow;
CREATE PUBLICATION bench_narrow FOR TABLE items (` + few + `) WITH (publish_via_partition_root = true);
COMMENT ON PUBLICATION bench_narrow IS 'kept by freshet, with column lists';`

// narrow measures what it brings that only the columns which the rules use are decoded and sent.
func (b *bench) narrow(ctx context.Context) (Result, error) {
	version, err := b.text(ctx, "current_setting('server_version_num')::int >= 150000")
	if err != nil {
		return Result{}, err
	}
	if version != "true" {
		return Result{Rows: b.Rows, Skipped: "publications have column lists from Postgres 15 on"}, nil
	}
	l := inserted(b.Rows)
	l.before = []string{narrowed}
	return b.against(ctx, Narrow, b.Rows, l, manner{
		poller:  map[string]string{"POLLER_PUBLICATION": "bench_narrow"},
		fn:      map[string]string{"FN_VALUE": "record.{id,sku,name,price}"},
		compare: b.comparison(few),
	})
}
