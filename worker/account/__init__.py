"""The provider's account: whether anything may be sent now, how fast, and what the balance shows.

Owns the tables `smsclick_gates` (`holds`, `circuit_breaker`, `canary`, `simulated`), `smsclick_limits` (`rate_limit`),
`smsclick_budgets` (`request_budget`) and `smsclick_balances` (`balance_history`). Entry points: `holds.read`,
`hold_cache.HoldCache`, `rate_limit.limiter`, `canary.claim`. `books` is pure. May import `worker.queue`,
`worker.alerting`, `worker.reports`, `worker.lifecycle` and `worker.sql`.

Invariant: while the account is held, only the canary is sent, and never against the operator's hold.
Why: docs/decisions/0015-one-limit-in-the-database.md, docs/decisions/0040-the-balance-as-a-witness.md.
"""
