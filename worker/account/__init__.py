"""The provider's account: whether anything may be sent now, how fast, and what the balance shows.

Owns the tables `smsclick_gates` (`holds`, `canary`, `simulated`), `smsclick_limits` (`rate_limit`),
`smsclick_budgets` (`status_check`), `smsclick_balances` (`balance_history`), `smsclick_usage` (`usage`) and
`smsclick_minutes` (`minutes`). Entry points: `account_state.read` and `HoldCache`, `rate_limit.limiter`,
`canary.claim`, `usage.count`, `minutes.note`. Pure: `books` and `forecast`. May import `worker.queue`,
`worker.alerting`, `worker.reports`, `worker.lifecycle`, `worker.metrics` and `worker.sql`.

Invariant: while the account is held, only the canary is sent, and never against the operator's hold.
Why: docs/decisions/0015-one-limit-in-the-database.md, docs/decisions/0040-the-balance-as-a-witness.md.
"""
