"""What waits: claims, phones that are never written to, withdrawals, and rows that are odd.

Owns the order in which messages are sent (`claims`), the table `smsclick_optouts` (`optouts`) and the repair of rows
that no program can read (`odd_rows`). Entry points: `claims.claim`, `claims.expire`,
`expired_leases.expire_leases`, `withdrawals.finish`, `odd_rows.run`. May import `worker.lifecycle`, `worker.alerting`
and `worker.sql`.

Invariant: a claim is committed before its request leaves, and two messages of equal content are never in flight
together. Why: docs/decisions/0031-odd-rows.md, docs/decisions/0048-withdrawals.md.
"""
