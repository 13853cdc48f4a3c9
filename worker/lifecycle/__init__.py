"""A message's states and what changes them: the state machine, and the only code that writes a state.

Owns the columns of `smsclick_messages` from `state` to `replied_at`, the rows of `smsclick_events`, and the new rows
of `smsclick_callbacks` (`callback_outbox`). Pure modules decide: `on_claim`, `on_attempt`, `on_report`, `on_status`,
`on_operator` each return a `Change`. Entry points: `message_rows` locks rows, `state_machine.apply` writes changes
and what follows from them. May import `worker.metrics`, `worker.sql` and `smsclick`,
nothing else of `worker`.

Invariant: a state changes only as `model.TRANSITIONS` allows, in the transaction that also stores its event. Why:
docs/decisions/0007-queued-to-failed-through-sending.md.
"""
