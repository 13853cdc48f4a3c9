"""What an operator does: look at messages and figures, cancel, retry, hold, resume, export, and check a deployment.

- **Entry points**: `message_history`, `message_changes`, `filtered_changes`, `finding`, `unknowns`, `stats`, `account`,
  `open_incidents`, `recent_heartbeats`, `exporting`, `counting`, `health` and `doctor.checkup`. Their functions take a
  `Database` or a connection, and who acts where they change something, and return frozen dataclasses. The commands in
  `commands` and the HTTP API call the same functions.
- **Owns** no table. It changes messages through `worker.lifecycle` and the account through `worker.account`.
- **May import** every room below it, and neither Celery, typer nor rich; only `commands` imports typer.
- **Invariant**: an operator changes a message only where its state allows it (`worker.lifecycle.on_operator`), and its
  event says that an operator did it. A name that fails does not keep the other names from being acted on.
- Decisions: docs/decisions/0008 (the operator's hold), 0029 (what an operator decides about unknown attempts).
"""
