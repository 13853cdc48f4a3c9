"""Store, withdraw and look up messages in the caller's own transaction.

Entry points, all public through `smsclick`: `enqueue` and `enqueue_many`, `withdrawal.cancel`, `status.status` and
`message.NewMessage`. `store` writes set-wise, also for the import and for calls by name; `key_sorter` brings any number
of messages into the order of their keys.

Writes `smsclick_messages`: the columns of a new row; `state`, `waits_for`, `due_at` and `final_at` of a withdrawal,
which also inserts its event. May import `_database`, `_values`, `_wakeups`, `contract` and `errors`.

Invariants: nothing is committed here; one key is one message; keys are stored in order, so that two calls cannot
deadlock. Decisions: docs/decisions/0014 (keys in order), 0048 (withdrawals), 0013 (wake up after the commit).
"""
