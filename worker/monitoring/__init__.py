"""What each process watches by itself, also without beat and broker: its health, the clock, missing progress.

Owns no table: it writes the process's row of `smsclick_heartbeats` through `sql.heartbeat`, and incidents through
`alerting`. Entry points: `process_health.WorkerHealth` and `BeatHealth`, `process_health.sending_step`,
`watchdog.Watchdog`, `beat_watch.BeatWatch`; doctor reads `progress_checks`. May import `context`, `broker`, `sending`,
`database_clock`, `account`, `alerting`, `lifecycle` and `threads`.

Invariant: an outage of the broker, of beat or of another process neither stops these threads nor makes the process
count as unhealthy. All times in the database are the database's own.

Decisions: docs/decisions/0033-alerts-that-somebody-can-use.md, docs/decisions/0034-liveness-is-a-file.md.
"""
