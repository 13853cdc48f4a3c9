"""The cause of an event is a code from a fixed list instead of an English sentence.

Rows are rewritten in batches of ids, each of them a transaction of its own, so that workers and producers wait for
milliseconds only. An upgrade that was interrupted goes on where it stopped.

Workers of the release before may run during and after the upgrade. They store sentences, also after the last batch,
and only print a code that they do not know. Programs of this release read both forms (`smsclick._values.causes`), so
the order in which machines are upgraded does not matter. One thing should not run in between: an old beat with
SMSCLICK_RETENTION_DAYS erases messages, but not the description of their events whose cause is already a code.

The comments of four columns are put into the words of today, where the database keeps comments.
"""

import time

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_CODES = {
    "waits for the end of the quiet hours": "quiet_hours",
    "released before the request left": "released",
    "answered after its claim was lost": "late_answer",
    "worker lost": "lease_ended",
    "found in the report": "found_in_report",
    "absent from the report": "absent_from_report",
    "cannot be sent": "invalid",
    "validity ended": "validity_ended",
    "status asked": "status_checked",
    "the recipient replied": "replied",
    "no final status in time": "tracking_ended",
    "a backup was restored": "restored",
    "withdrawn by its producer": "withdrawn",
}
"""The other causes ("claimed", "answered", "operator") are the same in both forms."""

_COMMENTS = (
    (
        "smsclick_messages",
        "wire_key",
        sa.String(32),
        "of phone and text while a request may be on the wire",
        "of phone and text while a request may be in flight",
    ),
    (
        "smsclick_messages",
        "unknown_since",
        UtcDateTime(),
        "the latest moment at which the request can have left",
        "the latest time at which the request can have left",
    ),
    (
        "smsclick_messages",
        "unknown_reason",
        sa.String(24),
        "why the report could not tell, see worker.trust.Doubt",
        "why the report proves nothing, see worker.lifecycle.doubt.Doubt",
    ),
    (
        "smsclick_gates",
        "operator_hold_at",
        UtcDateTime(),
        "since when the operator holds",
        "since when the operator holds the account",
    ),
)
"""Table, column, type, the comment before and the comment now."""

_BATCH_IDS = 5000
_LONGEST_REST_SECONDS = 0.5
_EVENTS = sa.table("smsclick_events", sa.column("id", sa.BigInteger), sa.column("cause", sa.String))


def upgrade() -> None:
    for table, column, kind, before, now in _COMMENTS:
        _comment(table, column, kind, before, now)
    _rewrite(_CODES)


def downgrade() -> None:
    for table, column, kind, before, now in _COMMENTS:
        _comment(table, column, kind, now, before)
    _rewrite({code: sentence for sentence, code in _CODES.items()})


def _comment(table: str, column: str, kind: sa.types.TypeEngine[object], before: str, now: str) -> None:
    if op.get_context().dialect.name != "sqlite":
        op.alter_column(table, column, comment=now, existing_comment=before, existing_type=kind, existing_nullable=True)


def _rewrite(forms: dict[str, str]) -> None:
    context = op.get_context()
    cause = _EVENTS.c.cause
    update = sa.update(_EVENTS).where(cause.in_(list(forms))).values(cause=sa.case(forms, value=cause))
    if context.as_sql:
        op.execute(update)
    elif context.dialect.name == "postgresql":
        with context.autocommit_block():
            _rewrite_in_batches(update)
    else:
        _rewrite_in_batches(update)


def _rewrite_in_batches(update: sa.Update) -> None:
    connection = op.get_bind()
    first, last = connection.execute(sa.select(sa.func.min(_EVENTS.c.id), sa.func.max(_EVENTS.c.id))).one()
    if first is None:
        return
    for begin in range(first, last + 1, _BATCH_IDS):
        started = time.monotonic()
        connection.execute(update.where(_EVENTS.c.id.between(begin, begin + _BATCH_IDS - 1)))
        _commit_and_rest(connection, min(time.monotonic() - started, _LONGEST_REST_SECONDS))


def _commit_and_rest(connection: sa.Connection, rest_seconds: float) -> None:
    """End the batch's transaction, and rest so that on SQLite the writes of others come in between.

    By SQL, because Alembic keeps the connection's transaction for itself.
    """
    name = connection.dialect.name
    if name != "postgresql":  # there each statement of the block is a transaction
        connection.exec_driver_sql("COMMIT")
    time.sleep(rest_seconds)
    if name == "sqlite":  # the others begin the next transaction with the next statement
        connection.exec_driver_sql("BEGIN IMMEDIATE")
