"""The operator's commands of `smsclick`: they parse the command line, call a function, and print what it returns.

- **Entry point**: `registry.operators`, which `smsclick._cli.main` calls. One module for each group of commands, and
  only that of the command that is called is loaded.
- **Owns** no table. What reads or changes the database is a function of `worker.operator` (or of the room that owns
  the rows): the HTTP API calls the same functions.
- **May import** typer and `smsclick._cli`, which no other module of `worker.operator` imports, and
  `worker.operator`. Celery, Alembic and rich are imported inside the functions that need them, because most commands
  start sooner without them.
- **Invariant**: an error ends as one line on stderr and exit code 1. A command that acts on several names acts on all
  that it can, and prints one line for each that it cannot.
"""
