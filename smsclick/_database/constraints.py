"""The constraints of `smsclick_messages`: the values that the database itself accepts in a row.

A plain INSERT skips our validation, and a row that cannot be read would stop its reader. PostgreSQL, MariaDB and MySQL
have CHECK constraints. SQLite cannot add one to an existing table, so it has triggers that refuse the same values under
the same names. docs/decisions/0031-odd-rows.md has the reasons.
"""

import re
from typing import Any

from sqlalchemy import CheckConstraint, Connection, String, Table, event
from sqlalchemy.dialects import mysql

STATES = (
    "queued",
    "sending",
    "unknown",
    "sent",
    "delivered",
    "rejected",
    "failed",
    "expired",
    "cancelled",
    "undetermined",
)
TIMES = (
    "send_at",
    "expires_at",
    "due_at",
    "lease_until",
    "unknown_since",
    "attempted_at",
    "created_at",
    "sent_at",
    "final_at",
    "replied_at",
    "erased_at",
    "absent_since",
)
COUNTS = ("attempts", "refusals", "polls", "absences")
_NUMBERS = ("priority", *COUNTS, "id_mensaje", "estatus_mensaje", "credits_used", "last_code")
_LENGTHS = {
    "key": 200,
    "phone": 40,
    "rule_id": 40,
    "if_absent": 8,
    "callback": 500,
    "reference": 200,
    "state": 12,
    "token": 32,
    "wire_key": 32,
    "waits_for": 32,
    "last_error": 300,
    "unknown_reason": 24,
    "account_fingerprint": 16,
    "id_source": 8,
}
_WRITTEN_BY_PRODUCERS = {"key", "phone", "rule_id", "priority", "if_absent", "callback", "reference", "text"} | {
    "send_at",
    "expires_at",
    "due_at",
}
"""The columns that an UPDATE by plain SQL may change. Our own UPDATEs, several for each message, skip other checks."""

LONGEST_TEXT_BYTES = 65_535
"""The size of MariaDB's TEXT; more than ten times the longest text that may be sent."""

MOST_COUNTED = 1_000_000_000
FIRST_TIME, AFTER_LAST_TIME = "1970-01-01", "9999-12-31"
"""Every time is between them, so that any programming language can show it in any time zone."""

_STATE = f"state IN ({', '.join(map(repr, STATES))})"
# Not for `unknown`: a row that only an operator can reconcile has no due time.
_DUE = "state NOT IN ('queued', 'sending') OR due_at IS NOT NULL"
_WAITS = "waits_for IS NULL OR state = 'queued'"
_COUNTED = " AND ".join(f"{name} BETWEEN 0 AND {MOST_COUNTED}" for name in COUNTS)
_COUNTS = f"{_COUNTED} AND (estatus_mensaje IS NULL OR estatus_mensaje BETWEEN 0 AND 4)"


def _all(conditions: list[str]) -> str:
    return " AND ".join(f"({each})" for each in conditions)


def _postgresql_time(name: str) -> str:
    within = (
        f"{name} >= TIMESTAMPTZ '{FIRST_TIME} 00:00:00+00' AND {name} < TIMESTAMPTZ '{AFTER_LAST_TIME} 00:00:00+00'"
    )
    return f"{name} IS NULL OR ({within})"


def _mariadb_time(name: str) -> str:
    # MariaDB's zero dates (2030-00-00) are within the range, but no program can read them.
    whole = f"month({name}) > 0 AND dayofmonth({name}) > 0"
    return f"{name} IS NULL OR ({name} >= '{FIRST_TIME}' AND {name} < '{AFTER_LAST_TIME}' AND {whole})"


POSTGRESQL = {
    "state": _STATE,
    "due": _DUE,
    "waits": _WAITS,
    "counts": _COUNTS,
    "times": _all([_postgresql_time(name) for name in TIMES]),
    "size": f"octet_length(text) <= {LONGEST_TEXT_BYTES}",
}
MARIADB = {
    "state": _STATE,
    "due": _DUE,
    "waits": _WAITS,
    "counts": _COUNTS,
    "times": _all([_mariadb_time(name) for name in TIMES]),
}

GUARDED_LENGTHS = {"key": 200, "phone": 40, "rule_id": 40, "callback": 500, "reference": 200}
"""In characters, of the columns that a producer fills. On MariaDB and MySQL the columns have one character more: INSERT
IGNORE, and a mode that is not strict, cut a value to the size of the column, and that is still refused."""

MARIADB_LENGTHS = {"lengths": _all([f"char_length(`{name}`) <= {length}" for name, length in GUARDED_LENGTHS.items()])}
"""Separate, because another migration added them."""


def guarded(name: str) -> String:
    """Return the type of a column whose length a constraint checks."""
    length = GUARDED_LENGTHS[name]
    return String(length).with_variant(mysql.VARCHAR(length + 1), "mysql", "mariadb")


def _sqlite_time(name: str) -> str:
    """Return the condition for an odd time: not text, no real date and time, or not in the form that sorts by time."""
    # Without the fraction: SQLite rounds to milliseconds, and .9996 would become the next second.
    begins = f"substr({name}, 20) NOT IN ('', '.') AND substr({name}, 20) NOT GLOB '.[0-9]*'"
    fraction = f"{begins} OR substr({name}, 21) GLOB '*[^0-9]*' OR length(CAST({name} AS BLOB)) > 26"
    form = f"datetime(substr({name}, 1, 19), '+0 days') IS NOT substr({name}, 1, 19) OR {fraction}"
    within = f"{name} < '{FIRST_TIME}' OR {name} >= '{AFTER_LAST_TIME}'"
    return f"{name} IS NOT NULL AND (typeof({name}) <> 'text' OR {form} OR {within})"


def _sqlite_text(name: str, length: int) -> str:
    return f"{name} IS NOT NULL AND (typeof({name}) <> 'text' OR length(CAST({name} AS BLOB)) > {length * 4})"


_SQLITE_ROW = {
    "state": f"NOT ({_STATE})",
    "due": f"NOT ({_DUE})",
    "waits": f"NOT ({_WAITS})",
    "counts": f"NOT ({_COUNTS})",
}
_SQLITE_COLUMNS = {
    "times": {name: _sqlite_time(name) for name in TIMES},
    "types": {name: f"{name} IS NOT NULL AND typeof({name}) <> 'integer'" for name in _NUMBERS}
    | {name: _sqlite_text(name, length) for name, length in _LENGTHS.items()},
    "size": {"text": f"typeof(text) <> 'text' OR length(CAST(text AS BLOB)) > {LONGEST_TEXT_BYTES}"},
}
_SQLITE_READS = {
    "state": ("state",),
    "due": ("state", "due_at"),
    "waits": ("state", "waits_for"),
    "counts": (*COUNTS, "estatus_mensaje"),
}
_SAYS = {
    "state": "the state is none of the known ones",
    "due": "what is queued must have a due_at; leave the column out to send now",
    "waits": "only what is queued waits",
    "counts": "a number is out of its range",
    "times": "a time is not UTC text like 2026-12-01 09:30:00 from 1970 on",
    "types": "a column holds another type than its own, or too much",
    "size": "the text is not text, or longer than 65535 bytes",
}


def sqlite_triggers() -> dict[str, str]:
    """Return the CREATE TRIGGER statements, by the names of the triggers."""
    made: dict[str, str] = {}
    for rule, says in _SAYS.items():
        if rule in _SQLITE_ROW:
            reads, inserted = _SQLITE_READS[rule], _of_new(_SQLITE_ROW[rule], _SQLITE_READS[rule])
            updated = inserted
        else:
            columns = _SQLITE_COLUMNS[rule]
            reads = tuple(name for name in columns if name in _WRITTEN_BY_PRODUCERS)
            bad = {name: _of_new(condition, (name,)) for name, condition in columns.items()}
            inserted = " OR ".join(f"({each})" for each in bad.values())
            # Unchanged values were checked before; and an odd row must still be able to fail.
            updated = " OR ".join(f"(NEW.{name} IS NOT OLD.{name} AND ({bad[name]}))" for name in reads)
        name = f"ck_smsclick_messages_{rule}"
        refuse = f"BEGIN SELECT RAISE(ABORT, '{name}: {says}'); END"
        for when, condition in (("INSERT", inserted), (f"UPDATE OF {', '.join(reads)}", updated)):
            trigger = f"{name}_{when.split()[0].lower()}"
            made[trigger] = f"CREATE TRIGGER {trigger} BEFORE {when} ON smsclick_messages WHEN {condition} {refuse}"
    return made


def _of_new(condition: str, columns: tuple[str, ...]) -> str:
    """Return the condition for the new row of a trigger."""
    return re.sub(rf"(?<!')\b({'|'.join(columns)})\b(?!')", r"NEW.\1", condition)


def declare(table: Table) -> None:
    """Add the constraints to the table, as the migrations do, for tables that `create_all` makes."""
    for name, condition in POSTGRESQL.items():
        table.append_constraint(CheckConstraint(condition, name=name).ddl_if(dialect="postgresql"))
    for name, condition in (MARIADB | MARIADB_LENGTHS).items():
        for dialect in ("mysql", "mariadb"):
            table.append_constraint(CheckConstraint(condition, name=name).ddl_if(dialect=dialect))
    event.listen(table, "after_create", _add_triggers)


def _add_triggers(_table: Table, connection: Connection, **_options: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own
    if connection.dialect.name == "sqlite":
        for statement in sqlite_triggers().values():
            connection.exec_driver_sql(statement)


def odd_on_postgresql() -> dict[str, str]:
    """Return the condition of an odd value for each column, and under `any` that of an odd row; for repairs."""
    return _with_any(
        _typed({name: f"NOT ({_postgresql_time(name)})" for name in TIMES})
        | {"text": f"octet_length(text) > {LONGEST_TEXT_BYTES}"}
    )


def odd_on_mariadb() -> dict[str, str]:
    """Return the conditions of `odd_on_postgresql` for MariaDB and MySQL."""
    return _with_any(_typed({name: f"NOT ({_mariadb_time(name)})" for name in TIMES}))


def odd_on_sqlite() -> dict[str, str]:
    """Return the conditions of `odd_on_postgresql` for SQLite, whose columns hold values of any type."""
    numbers = {name: _SQLITE_COLUMNS["types"][name] for name in ("id_mensaje", "credits_used", "last_code")}
    words = {
        name: f"{name} IS NOT NULL AND typeof({name}) <> 'text'"
        for name in (
            "rule_id",
            "callback",
            "reference",
            "token",
            "wire_key",
            "last_error",
            "phone",
            "text",
            "key",
            "unknown_reason",
            "account_fingerprint",
            "id_source",
        )
    }
    counts = {name: f"typeof({name}) <> 'integer' OR {name} NOT BETWEEN 0 AND {MOST_COUNTED}" for name in COUNTS}
    typed = _typed({name: _sqlite_time(name) for name in TIMES})
    return _with_any(typed | numbers | words | counts)


def _typed(times: dict[str, str]) -> dict[str, str]:
    counts = {name: f"{name} NOT BETWEEN 0 AND {MOST_COUNTED}" for name in COUNTS}
    estatus = {"estatus_mensaje": "estatus_mensaje IS NOT NULL AND estatus_mensaje NOT BETWEEN 0 AND 4"}
    return {"state": f"NOT ({_STATE})"} | times | counts | estatus


def _with_any(odd: dict[str, str]) -> dict[str, str]:
    conditions = {name: f"({condition})" for name, condition in odd.items()}
    return conditions | {"any": " OR ".join([*conditions.values(), f"NOT ({_DUE})"])}
