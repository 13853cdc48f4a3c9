"""Log lines as events: a constant name and fields, over Python's own `logging`.

Owns no table. Entry points: `event_log.EventLog`, which every module of `smsclick`, `worker` and `web` logs with,
`event_log.Event`, which a formatter reads, and `catalogue`, the documented list of names and fields. May import
`smsclick._values`. It configures nothing: a backend's logging is its own, and an event shows there as one sentence
with its fields. `worker.logs` renders the lines of our own processes.

Invariant: an event holds ids, numbers and our own words; no phone, text, key, secret or word of a driver.

Decision: docs/decisions/0063-log-events.md.
"""
