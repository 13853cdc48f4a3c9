"""`smsclick doctor`: what a deployment needs, checked one thing after the other, each with what to do about it.

- **Owns** no table. `broker.workers` writes and deletes one heartbeat row for its probes; every other check only reads.
- **Entry point**: `checkup.examine`, which yields `check.Check` values. One module for each thing that is checked.
- **May import** any room that knows how to look at its own things, and kombu and Alembic inside functions. No typer.
- **Invariant**: a check never raises, never sends a message, and shows no key, phone or text; it takes seconds, also
  if the thing that it checks does not answer.
- Decisions: docs/decisions/0026, 0036, 0045 and 0046 say why each of these things is checked.
"""
