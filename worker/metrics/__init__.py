"""What the processes count for Prometheus, kept so that neither a restart nor retention makes a counter go down.

Owns the tables `smsclick_tallies` (`tallies`) and `smsclick_worker_gauges` (`worker_gauges`). Entry points:
`tallies.add` and `tallies.Counting` in the transaction of whatever is counted, `process_metrics.ProcessMetrics` for
what only a process's memory knows, `reporter.Reporter` for its thread. `worker.operator.metrics` reads both tables.
`histograms` is pure. May import `worker.sql`, `worker.threads` and `smsclick`, nothing else of `worker`.

Invariant: a transaction adds rows, or adds to rows of its own connection, so none waits for another because both count.
Rows are merged later, and a reader sees the same sums before and after. Names and labels are words of ours: never a
phone, a text, an id or an address. Why: docs/decisions/0059-counters-as-added-rows.md and 0071-rows-of-a-connection.md.
"""
