"""How many `getMsg` requests may leave: a bucket of tokens in the database, which all workers share.

Reports that fail leave thousands of messages to `getMsg` at once. The provider is then asked for them one after the
other, in the order of their due times.
"""

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick.contract import budgets
from worker.sql.insert_once import insert_once

CHECKS_PER_SECOND = 20.0
"""`getMsg` requests a second over all workers together."""
BURST = 100
"""How many may leave at once after a quiet time."""

_NAME = "getMsg"


def left(connection: sa.Connection) -> int:
    """How many requests may leave now."""
    row = connection.execute(_read()).first()
    return BURST if row is None else int(_filled(row))


def take(connection: sa.Connection, wanted: int) -> int:
    """Take up to `wanted` requests; returns how many. Others wait until this transaction ends."""
    row = connection.execute(_read().with_for_update()).first()
    if row is None:
        insert_once(connection, budgets, {"name": _NAME, "tokens": BURST, "at": db_now()})
        row = connection.execute(_read().with_for_update()).one()
    filled = _filled(row)
    granted = min(wanted, int(filled))
    connection.execute(sa.update(budgets).where(budgets.c.name == _NAME).values(tokens=filled - granted, at=row.now))
    return granted


def _read() -> sa.Select[tuple[float, object, object]]:
    return sa.select(budgets.c.tokens, budgets.c.at, db_now().label("now")).where(budgets.c.name == _NAME)


def _filled(row: sa.Row[tuple[float, object, object]]) -> float:
    seconds = max(0.0, (row.now - row.at).total_seconds())
    return float(min(BURST, row.tokens + seconds * CHECKS_PER_SECOND))
