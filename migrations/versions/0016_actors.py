"""Who did what by hand: an event's actor, and the table of an operator's acts. The index by phone.

On PostgreSQL the indexes are made CONCURRENTLY, outside of a transaction, so that producers go on inserting meanwhile;
MariaDB's InnoDB does so by itself. The reasons stand in docs/decisions/0061-who-did-it.md and 0062-forgotten-people.md.
"""

import sqlalchemy as sa
from alembic import op

from smsclick._database.columns import BigId, UtcDateTime, default_now

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_INDEXES = {
    "ix_smsclick_messages_phone": ("smsclick_messages", ["phone"], sa.text("due_at IS NULL AND phone <> ''")),
    "ix_smsclick_callbacks_failed": ("smsclick_callbacks", ["failed_at"], sa.text("failed_at IS NOT NULL")),
}
_OPTOUTS_COMMENT = ("ten digits; never written to", "ten digits, or ~ and a hash once forgotten; never written to")


def upgrade() -> None:
    op.add_column(
        "smsclick_events", sa.Column("actor", sa.String(100), comment="who, if a person did it: user@host, or a name")
    )
    op.create_table(
        "smsclick_audit",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), server_default=default_now(), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False, comment="user@host, or a name"),
        sa.Column("act", sa.String(40), nullable=False, comment="a worker.sql.audit.Act"),
        sa.Column(
            "count", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="how many things were changed"
        ),
        sa.Column("detail", sa.String(300), server_default="", nullable=False, comment="no phone, text or key"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smsclick_audit")),
        **_MYSQL,
    )
    _comment(*_OPTOUTS_COMMENT)
    if not _is_postgresql():
        for name, (table, columns, where) in _INDEXES.items():
            op.create_index(name, table, columns, sqlite_where=where)
        return
    with op.get_context().autocommit_block():
        for name, (table, columns, where) in _INDEXES.items():
            # One that was interrupted is there, but not valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.create_index(name, table, columns, postgresql_where=where, postgresql_concurrently=True)


def downgrade() -> None:
    for name, (table, _, _) in _INDEXES.items():
        op.drop_index(name, table_name=table)
    # Hashes fit the old column, but a program of the release before would not recognise whose they are.
    _comment(*reversed(_OPTOUTS_COMMENT))
    op.drop_table("smsclick_audit")
    op.drop_column("smsclick_events", "actor")


def _is_postgresql() -> bool:
    return op.get_context().dialect.name == "postgresql"


def _comment(before: str, now: str) -> None:
    if op.get_context().dialect.name != "sqlite":
        op.alter_column(
            "smsclick_optouts",
            "phone",
            comment=now,
            existing_comment=before,
            existing_type=sa.String(10),
            existing_nullable=False,
        )
