"""What no row may hold is refused by the database, and a column for messages that wait for one of equal content.

Rows that are odd already are made readable: what waits among them fails with its reason, and what only lacks its time
is due now. On PostgreSQL constraints are added NOT VALID, which locks for a moment, and validated afterwards, which
blocks nobody; MariaDB adds them at once where it need not look at the rows. SQLite has triggers instead. The reasons
stand in docs/decisions/0031-odd-rows.md.
"""

import sqlalchemy as sa
from alembic import op

from smsclick._database import constraints

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLE = "smsclick_messages"
_INDEX = "ix_smsclick_messages_waits_for"
_COLUMNS = ["waits_for", "priority", "id"]
_WHERE = sa.text("waits_for IS NOT NULL")
_COMMENT = "wire_key of the message in flight that this one waits for"
_NOW = {
    "postgresql": "statement_timestamp()",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
}
_REASON = "the row held what no message may have: see docs/decisions/0031-odd-rows.md"
_PRODUCERS = ("send_at", "expires_at")
_KEPT_TEXT = 2000


def _dialect() -> str:
    return op.get_context().dialect.name


def upgrade() -> None:
    if _dialect() == "postgresql":
        _upgrade_postgresql()
        return
    op.add_column(_TABLE, sa.Column("waits_for", sa.String(32), comment=_COMMENT))
    op.create_index(_INDEX, _TABLE, _COLUMNS, sqlite_where=_WHERE)
    if _dialect() == "sqlite":
        for statement in constraints.sqlite_triggers().values():
            _run(statement)
        _repair(constraints.odd_on_sqlite())
    else:
        _upgrade_mariadb()


def downgrade() -> None:
    if _dialect() == "sqlite":
        for name in constraints.sqlite_triggers():
            _run(f"DROP TRIGGER IF EXISTS {name}")
    else:
        for name in constraints.POSTGRESQL if _dialect() == "postgresql" else constraints.MARIADB:
            _run(f"ALTER TABLE {_TABLE} DROP CONSTRAINT ck_{_TABLE}_{name}")
    op.drop_index(_INDEX, table_name=_TABLE)
    op.drop_column(_TABLE, "waits_for")


def _upgrade_postgresql() -> None:
    names = {f"ck_{_TABLE}_{name}": condition for name, condition in constraints.POSTGRESQL.items()}
    # For one moment of the lock, in one statement that bears a second try.
    drop = ", ".join(f"DROP CONSTRAINT IF EXISTS {name}" for name in names)
    add = ", ".join(f"ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID" for name, condition in names.items())
    _run(f"ALTER TABLE {_TABLE} ADD COLUMN IF NOT EXISTS waits_for VARCHAR(32), {drop}, {add}")
    _run(f"COMMENT ON COLUMN {_TABLE}.waits_for IS '{_COMMENT}'")
    with op.get_context().autocommit_block():
        # None of this blocks anybody.
        _run(f"DROP INDEX CONCURRENTLY IF EXISTS {_INDEX}")
        op.create_index(_INDEX, _TABLE, _COLUMNS, postgresql_where=_WHERE, postgresql_concurrently=True)
        _repair(constraints.odd_on_postgresql())
        for name in names:
            _run(f"ALTER TABLE {_TABLE} VALIDATE CONSTRAINT {name}")


def _upgrade_mariadb() -> None:
    add = ", ".join(
        f"ADD CONSTRAINT ck_{_TABLE}_{name} CHECK ({condition})" for name, condition in constraints.MARIADB.items()
    )
    if not op.get_context().as_sql and not op.get_bind().dialect.is_mariadb:  # type: ignore[attr-defined]
        # MySQL looks at every row as it adds them.
        _repair(constraints.odd_on_mariadb())
        _run(f"ALTER TABLE {_TABLE} {add}")
        return
    _run("SET SESSION check_constraint_checks = 0")
    _run(f"ALTER TABLE {_TABLE} {add}")
    _run("SET SESSION check_constraint_checks = 1")
    _repair(constraints.odd_on_mariadb())


def _repair(odd: dict[str, str]) -> None:
    """Make rows readable whose columns are odd, by the condition of each, and fail those whose content is."""
    now = _NOW.get(_dialect(), "UTC_TIMESTAMP(6)")
    content = [odd[name] for name in (*_PRODUCERS, "phone", "text", "key") if name in odd]
    fails = f"({odd['state']} OR state = 'queued' AND ({' OR '.join(f'({each})' for each in content)}))"
    described = f"substr(state, 1, 12), 'failed', 'cannot be sent', 0, '{_REASON}'"
    if _dialect() == "sqlite":
        described = described.replace("substr(state", "substr(CAST(state AS TEXT)")
    # Read before it is written: MariaDB's assignments see those before them.
    columns = "message_id, from_state, to_state, cause, attempt, description"
    _run(f"INSERT INTO smsclick_events ({columns}) SELECT id, {described} FROM {_TABLE} WHERE {fails}")  # noqa: S608
    replaced = {
        "last_error": f"CASE WHEN {fails} THEN '{_REASON}' ELSE last_error END",
        "final_at": f"CASE WHEN {fails} THEN {now} WHEN {odd['final_at']} THEN NULL ELSE final_at END",
        "due_at": f"CASE WHEN {fails} THEN NULL "
        f"WHEN ({odd['due_at']}) OR due_at IS NULL AND state IN ('queued', 'sending') THEN {now} ELSE due_at END",
        "waits_for": "NULL",
        "state": f"CASE WHEN {fails} THEN 'failed' ELSE state END",
        "created_at": f"CASE WHEN {odd['created_at']} THEN {now} ELSE created_at END",
    }
    for name in constraints.COUNTS:
        replaced[name] = f"CASE WHEN {odd[name]} THEN 0 ELSE {name} END"
    if "text" in odd:
        replaced["text"] = f"CASE WHEN octet_length(text) > {constraints.LONGEST_TEXT_BYTES} "
        replaced["text"] += f"THEN left(text, {_KEPT_TEXT}) ELSE text END"
        if _dialect() == "sqlite":
            del replaced["text"]  # its triggers look at what changes
    for name, condition in odd.items():
        if name not in replaced and name not in {"phone", "text", "key", "any"}:
            replaced[name] = f"CASE WHEN {condition} THEN NULL ELSE {name} END"
    quoted = op.get_context().dialect.identifier_preparer.quote
    assignments = ", ".join(f"{quoted(name)} = {value}" for name, value in replaced.items())
    _run(f"UPDATE {_TABLE} SET {assignments} WHERE {odd['any']}")  # noqa: S608 - our own names


def _run(statement: str) -> None:
    # Not as text with parameters: times hold colons, patterns per cents.
    op.execute(sa.DDL(statement.replace("%", "%%")) if not op.get_context().as_sql else statement.replace(":", "\\:"))
