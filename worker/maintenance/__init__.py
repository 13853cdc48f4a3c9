"""Periodic work that belongs to no single message: the sweep, the balance, and the erasure of old texts.

Owns `balance`, `balance_at` and `probe_at` of the account's row, the incident `low_balance`, and `erased_at` of
`smsclick_messages` with what erasure empties.

Entry points, one for each tick: `sweep.sweep`, `balance.check`, `retention.erase`.

May import every room below the runtime; only the sweep knows several steps, because it asks each of them what is due.

Invariant: each tick is bounded, may run twice at once, and only finds what rows say. Without it work is late, never
lost.
Decisions: docs/decisions/0003-the-database-is-the-queue.md, 0005-canary.md, 0021-flat-in-size.md.
"""
