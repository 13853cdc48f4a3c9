"""Wake the workers up: notify them, after a commit, of the ids of new messages.

Entry points: `after_commit.wake` (once a connection's transaction is committed), `publisher.wake` (now) and
`publisher.configured`. `background_publisher` and `backlog` are also used by the worker.

Owns no table: a wake-up is a call of `smsclick.send` in the broker's queue of the same name, and carries only ids.
May import `_broker`, `_net`, `_threads`, `settings` and `errors`. Invariant: a wake-up never blocks and never fails a
commit, and losing one costs time, not a message: the sweep finds it. Decisions: docs/decisions/0003 (the database is
the queue) and 0013 (wake up after the connection's commit).
"""
