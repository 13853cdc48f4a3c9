"""Attempts of unknown outcome: finds out from the provider's report whether the provider accepted them.

Owns the way out of `unknown` (`id_mensaje`, `id_source`, `unknown_reason`, `absences`, `absent_since`, and `due_at` of
those rows), the watermarks `unknown` and `absence`, the measured report lag in the account's row, and the incidents
`old_unknown` and `report_lag`.

Entry points: `reconcile.reconcile`, `report_lag.measure`, and `claims.due` for the sweep. A call goes claims →
lookup (reading) → verdict (trust) → record.

May import `worker.context`, `reports`, `account`, `alerting`, `queue`, `lifecycle`, `sql`; never `sending`, `tracking`,
`callbacks`. `trust`, `verdict`, `control_rows`, `learned_form`, `unreadable_rows` and `span_plan` are pure.

Invariant: a message is sent again only if a report is complete enough to prove that its attempt is absent; every doubt
leaves it `unknown`. Decisions: docs/decisions/0009-reconciling-by-the-report.md, 0029-earned-absence.md,
0041-a-new-key-of-the-account.md.
"""
