package poller

import (
	"freshet/poller/backfill"
	"freshet/shared/change"
	"freshet/shared/exchange"
)

// beginAudit has rows and keys compared all the time. A job that ends when nothing is left to do is not kept busy by it.
func (l *life) beginAudit() {
	if l.config.AuditRate == 0 || l.config.ExitWhenIdle > 0 || !bool(l.config.Fence) {
		return
	}
	var names []string
	for _, t := range l.tables.found {
		names = append(names, t.Table.String())
	}
	l.audit = backfill.NewVerification(names, 1, l.config.repairs(change.CauseAudit))
	l.runner.Audit(l.audit, l.config.AuditRate)
}

// count carries what the audit has found into the metrics.
func (l *life) count() {
	if l.audit == nil {
		return
	}
	tables, _, failed := l.audit.Progress()
	var now exchange.Tally
	var repaired int64
	for _, t := range tables {
		now.Match, now.Missing, now.Stale, now.Orphan, now.Absent = now.Match+t.Match, now.Missing+t.Missing, now.Stale+t.Stale, now.Orphan+t.Orphan, now.Absent+t.Absent
		repaired += t.Repaired
	}
	if wrong := now.Wrong() - l.audited.Wrong(); wrong > 0 {
		l.log.Warn("the audit found keys that differ from their rows", "keys", wrong, "missing", now.Missing-l.audited.Missing, "stale", now.Stale-l.audited.Stale, "orphan", now.Orphan-l.audited.Orphan,
			"why", damages[change.CauseAudit].why, "fix", l.auditFix())
	}
	for result, n := range map[string]int64{
		"match": now.Match - l.audited.Match, "missing": now.Missing - l.audited.Missing, "stale": now.Stale - l.audited.Stale,
		"orphan": now.Orphan - l.audited.Orphan, "absent": now.Absent - l.audited.Absent,
	} {
		l.metrics.Audited.WithLabelValues(result).Add(float64(max(0, n)))
	}
	l.metrics.AuditRepaired.Add(float64(max(0, repaired-l.repaired)))
	l.audited, l.repaired = now, repaired
	if failed != nil {
		l.log.Warn("the standing audit has ended", "why", failed.What+": "+failed.Why, "fix", failed.Fix)
		l.audit = nil // until the next life
	}
}

func (l *life) auditFix() string {
	if l.audit.Repair {
		return "nothing to do for these, which are put right; poller verify --repair looks at all others"
	}
	return "nothing is done about it, since POLLER_REPAIR does not have audit: " + byHand
}
