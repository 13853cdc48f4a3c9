"""Indexes without the rows that have nothing to be found by: fewer entries, and less WAL, for each version of a row.

On PostgreSQL every update of a message writes an entry into each index that it belongs to. Most messages have no
`wire_key`, and until they are accepted they have neither `sent_at` nor `id_mensaje`; their NULLs were in three indexes.
The new indexes are there before the old ones go, under names of their own, so that what is unique stays unique while
workers run, and an upgrade that was interrupted can begin again. Why: docs/decisions/0057-fewer-versions.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_TABLE = "smsclick_messages"
_INDEXES = (
    ("ix_smsclick_messages_wire_key_set", "ix_smsclick_messages_wire_key", "wire_key", True),
    ("ix_smsclick_messages_sent_at_set", "ix_smsclick_messages_sent_at", "sent_at", False),
)
"""The new name, the old name, the column, and whether it is unique."""

_ID = "ix_smsclick_messages_id_mensaje"
_ID_CONSTRAINT = "uq_smsclick_messages_id_mensaje"
_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"

_FILL_PERCENT = 60
"""A page that is filled so far by INSERT has room for the versions of its rows. A version on another page costs a third
more WAL, because it is written as a whole and the old one is locked first.."""


def _is_postgresql() -> bool:
    return op.get_context().dialect.name == "postgresql"


def upgrade() -> None:
    if not _is_postgresql():
        for new, old, column, unique in _INDEXES:
            op.create_index(new, _TABLE, [column], unique=unique, sqlite_where=sa.text(f"{column} IS NOT NULL"))
            op.drop_index(old, table_name=_TABLE)
        return
    with op.get_context().autocommit_block():
        # As in 0006: it blocks nobody, so it may wait for whoever has a transaction open.
        for new, old, column, unique in _INDEXES:
            _create_concurrently(new, column, unique=unique)
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {old}")
        _create_concurrently(_ID, "id_mensaje", unique=True)
    op.execute(f"ALTER TABLE {_TABLE} SET (fillfactor = {_FILL_PERCENT})")  # for new pages; it rewrites nothing
    # It needs the table for itself for a moment, and waits for it with the lock_timeout of all migrations.
    op.execute(f"ALTER TABLE {_TABLE} DROP CONSTRAINT IF EXISTS {_ID_CONSTRAINT}")


def downgrade() -> None:
    if _is_postgresql():
        op.execute(f"ALTER TABLE {_TABLE} RESET (fillfactor)")
        op.create_unique_constraint(_ID_CONSTRAINT, _TABLE, ["id_mensaje"])
        op.drop_index(_ID, table_name=_TABLE)
    for new, old, column, unique in _INDEXES:
        op.create_index(old, _TABLE, [column], unique=unique)
        op.drop_index(new, table_name=_TABLE)


def _create_concurrently(name: str, column: str, *, unique: bool) -> None:
    """Create an index, unless it is there: then the old one may be gone, and without this one nothing was unique."""
    if not op.get_context().as_sql:
        valid = op.get_bind().scalar(sa.text(_IS_VALID), {"name": name})
        if valid:
            return
        if valid is False:  # its creation was cut off
            op.execute(f"DROP INDEX CONCURRENTLY {name}")
    where = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, _TABLE, [column], unique=unique, postgresql_where=where, postgresql_concurrently=True)
