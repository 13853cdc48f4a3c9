"""Incidents and their alerts.

Owns `smsclick_incidents` and `smsclick_alerts`; no other room writes them. Entry points: `incidents.report`,
`incidents.close` and `describe` (in the caller's transaction), `incidents.tick` (from the sweep), `delivery.deliver`;
`kinds.KINDS` is the list of problems as data. May import `lifecycle` and `sql`; every room above may report an
incident.

Invariant: an alert event is stored in the transaction that found the problem, and is delivered at least once to each
channel or dropped after a day. A channel that does not answer holds up nothing.

Decisions: docs/decisions/0006-alerts-outbox.md, docs/decisions/0033-alerts-that-somebody-can-use.md.
"""
