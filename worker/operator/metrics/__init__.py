"""The metrics for Prometheus, without HTTP: what `smsclick metrics` serves, and what a web process mounts.

- **Entry points**: `collector.Collector` (a custom collector of `prometheus-client`), `catalogue.METRICS` (every
  metric's name, type, labels and help), `readings.read` (the figures as values).
- **Owns** no table. It reads what `worker.metrics` counted, and what rows show of now.
- **May import** `worker.operator` and the rooms below it; only `collector` imports `prometheus_client`.
- **Invariant**: each query is bounded, so a scrape costs the same in a small and in a large database. No label holds
  a phone, a text, a key, an address or an id, and each has few values. docs/metrics.md documents every metric.
- Decision: docs/decisions/0059-counters-as-added-rows.md.
"""
