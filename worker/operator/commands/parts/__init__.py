"""What several of the operator's commands are made of; no command is in here.

- **Entry points**: `current_user` names who acts, `confirmation` asks before many things change, `filtered` runs
  `cancel` and `retry` by a filter, `callback_table` prints callbacks.
- **Owns** no table. **May import** typer, `smsclick._cli`, `worker.operator` and `worker.operator.commands.options`,
  and no module that defines a command.
- **Invariant**: whatever changes many things counts first, and changes nothing without the person's word: an answer on
  a terminal, or `--yes`.
- Decision: docs/decisions/0061-who-did-it.md.
"""
