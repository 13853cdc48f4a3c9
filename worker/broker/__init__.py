"""The worker's side of the broker: Celery's consumer, beat's scheduler, queues, unknown task messages, doctor's probes.

Owns no table. `echo` counts in a row of `smsclick_heartbeats` that doctor inserted; `unknown_messages` stores dead
letters through `intake`. Entry points: `consumer.Consumer` and `beat.Scheduler` (named in `celeryconfig.py`),
`strict_task.StrictTask`, `log_filter.install` and `unknown_messages.use` (called by `worker.app`). May import
`intake`, `alerting`, `threads` and `compat`; never `worker.app`.

Invariant: no answer of a broker ends the process, and no message is dropped before its content is stored.

Decisions: docs/decisions/0035-whatever-a-broker-answers.md, 0036-queues-as-they-are.md, and
0043-a-stalled-consumer-is-the-processs-own-fault.md.
"""
