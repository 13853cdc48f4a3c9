"""Callbacks: what became of a message, delivered to its producer's webhook or Celery task.

Owns the rows of `smsclick_callbacks` once `lifecycle.callback_outbox` has inserted them: it writes `due_at`, `tries`,
`receiver`, `delivered_at`, `failed_at` and `last_error`. Entry points: `dispatcher.CallbackDispatcher.deliver`,
`store.due`, `store.purge`, and `replay` for an operator. `policy` decides without I/O what becomes of each `call`;
`webhook` and `celery_task` call receivers; `failures` says why a call failed, as a code with values. May import
`alerting`, `queue`, `lifecycle` and `sql`.

Invariant: each event is delivered at least once or given up after three days, a message's events go in order (except
one that an operator replays), and a receiver that fails takes no capacity from the others. No transaction is open
during a call.

Decisions: docs/decisions/0017-callbacks-outbox.md, docs/decisions/0018-callback-targets.md.
"""
