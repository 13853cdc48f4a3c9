"""What keeps ticks flat at ten million rows: indexes of what is followed and of the unknown, an earlier autovacuum.

On PostgreSQL the indexes are made CONCURRENTLY, outside of a transaction, so that producers go on inserting meanwhile;
MariaDB's InnoDB does so by itself. The reasons stand in docs/decisions/0021-flat-in-size.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_smsclick_messages_followed": (["state", "sent_at"], sa.text("state IN ('sent', 'undetermined')")),
    "ix_smsclick_messages_unknown_since": (["unknown_since"], sa.text("unknown_since IS NOT NULL")),
}
_VACUUM = {
    "smsclick_messages": {
        "autovacuum_vacuum_scale_factor": "0.01",
        "autovacuum_vacuum_threshold": "100000",
        "autovacuum_analyze_scale_factor": "0.01",
        "autovacuum_analyze_threshold": "50000",
        "vacuum_index_cleanup": "on",
    },
    "smsclick_events": {
        "autovacuum_vacuum_insert_scale_factor": "0.05",
    },
}


def _is_postgresql() -> bool:
    return op.get_context().dialect.name == "postgresql"


def upgrade() -> None:
    if not _is_postgresql():
        for name, (columns, where) in _INDEXES.items():
            op.create_index(name, "smsclick_messages", columns, sqlite_where=where)
        return
    for table, settings in _VACUUM.items():
        op.execute(f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in settings.items())})")
    with op.get_context().autocommit_block():
        # It blocks nobody, so it may wait for whoever has a transaction open: out here there is no lock_timeout. One
        # that was cut off left it invalid.
        for name, (columns, where) in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.create_index(name, "smsclick_messages", columns, postgresql_where=where, postgresql_concurrently=True)


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, table_name="smsclick_messages")
    if _is_postgresql():
        for table, settings in _VACUUM.items():
            op.execute(f"ALTER TABLE {table} RESET ({', '.join(settings)})")
