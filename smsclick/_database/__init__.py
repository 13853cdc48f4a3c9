"""The database: its tables and columns, its URL, its sessions and its errors, for SQLite, PostgreSQL and MariaDB/MySQL.

Tables: `metadata`, `message_tables`, `worker_tables`, `columns` (types, the database's clock) and `constraints` (what a
row may hold); `smsclick.contract` exports them. Connections: `engine.Database`, `sessions` (what our sessions set),
`sqlite_files`. Address: `urls`, `url_parameters`, `url_tls`. Errors: `faults` (who bears an error) and `error_lines`.

Writes no rows. May import `_net` and `errors`.
Invariants: the database's clock decides; no error carries a row's content or a secret; a commit is durable before a
request leaves. Decisions: docs/decisions/0024 (whose fault), 0025 (sessions), 0031 (odd rows), 0044 (addresses), 0045.
"""
