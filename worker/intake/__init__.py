"""Calls by name from producers without our database, and the dead letters of those that are invalid.

Owns `smsclick_dead_letters`. Entry points: `by_name.accept`, `by_name.cancel` and `by_name.give_up` (from the tasks),
`dead_letters.keep`, `listed`, `retry`, `drop` and `purge`. Messages are stored and withdrawn through the same
functions of `smsclick` that producers with a database use. May import `context`, `alerting` and `sql`.

Invariant: a call is acknowledged only after its message, or its dead letter, is committed; while the database is away
it stays in the broker. A call that is delivered twice is one message, because its id is the key where it has none.

Decisions: docs/decisions/0037-dead-letters.md, docs/decisions/0048-withdrawals.md.
"""
