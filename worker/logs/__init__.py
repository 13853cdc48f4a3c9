"""How our own processes write their log: `SMSCLICK_LOG_FORMAT` says as text for people or as JSON for machines.

Owns no table. Entry points: `setup.set_up` for a program of ours, `setup.take_over` for one whose logging Celery has
set up, `form.LogForm` for a worker's background process, `setup.quiet`. May import `smsclick` and `worker.compat`.
Lines of libraries come in the same form, because they log by Python's `logging`, too: structlog's `ProcessorFormatter`
renders every record of the process. structlog is imported without rich, which it does not need here.

Invariant: with `json`, each line that a running process writes is one JSON object with the fields of
`formats.REQUIRED`.

Decision: docs/decisions/0063-log-events.md.
"""
