"""What became of sent messages: asks the provider until each message has its final status.

Owns the status columns of `smsclick_messages` for messages that were sent (`estatus_mensaje`, `final_at`, `polls`, and
`reply`, `replied_at` for replies), their `due_at`, and the watermarks of the age brackets (`sent:N`, `undetermined`).

Entry points: `by_report.follow` (one report for many messages), `by_status.poll` (one `getMsg` for each), and
`bracket_claim.due`, `by_status.due` for the sweep. They write through `worker.lifecycle.on_status`.

May import `worker.context`, `reports`, `account`, `alerting`, `queue`, `lifecycle`, `sql`; never `sending`,
`reconciliation`, `callbacks`. `progress` and `tracked` are pure.

Invariant: a status never goes backwards, and only `getMsg` itself makes a message `undetermined`.
Decision: docs/decisions/0011-tracking-by-report.md.
"""
