"""Read messages from files (CSV or JSON lines) and store them: the work of `smsclick import`.

In the order of the data: `files` (bytes to numbered lines), `records` (lines to records, for any file), `rows` (records
to messages), `store_rows` (messages to the database), `rejected_file` (the bad lines) and `known_balance`. Entry
points: `rows.read_rows`, `store_rows.import_rows` and `store_rows.try_rows`.

Writes new rows of `smsclick_messages` through `_enqueue.store`; reads `smsclick_gates`. May import `_enqueue`,
`_database`, `_values`, `_wakeups`, `contract` and `errors`. Invariants: a bad line costs only itself; no report of a
bad line shows a phone or a text; a file may be larger than memory.
"""
