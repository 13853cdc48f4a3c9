"""A database that was restored from a backup, or lost commits in a failover: nothing may be sent twice because of it.

Owns the hold of a restore (`restored_since`, `restored_at` of the account's row) and the incident `restored`; makes
messages `unknown` through `worker.lifecycle.on_operator`.

Entry points: `detection.hold_if_restored` (at a worker's start), `recovery.recover`, `losses` and `hold.end` (the
command `smsclick restored`), `hold.end_if_looked_for` (the sweep).

May import `reports`, `account`, `alerting`, `queue`, `lifecycle`, `sql`; never `reconciliation`, which looks for them.

Invariant: while the hold of a restore lasts, no message leaves; it ends after each one was looked for in a report.
Decision: docs/decisions/0030-restored.md.
"""
