"""The threads of a worker process: supervision, liveness files, the heap, limited log lines.

Owns no table; writes one liveness file for each process. Entry points: `supervision.Supervisor`,
`liveness.LivenessFile`, `liveness.read` and `problems` (for `smsclick health`), `heap.keep_small`,
`log_limit.LimitedLog`. May import `smsclick._threads` and nothing of `worker`.

Invariant: no exception ends a thread for good, and a thread that makes no progress is visible to health checks
without the database or the broker.

Decisions: docs/decisions/0023-one-heap.md, docs/decisions/0034-liveness-is-a-file.md.
"""
