"""Watches the database's clock. If the clock was set, times that were written before are moved by the same amount.

Owns the table `smsclick_clocks`; after a step it moves due times and leases in the tables of others (`step`). Entry
points: `clock.DatabaseClock.read`, `clock.trusted_since`, `clock.shift`. May import `worker.account`,
`worker.alerting`, `worker.lifecycle` and `worker.sql`.

Invariant: no lease and no wait of an unknown attempt ends early because the clock was set forward.
Why: docs/decisions/0039-the-databases-clock-is-checked.md.
"""
