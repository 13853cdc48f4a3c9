"""Counters in the database: whoever counts adds rows, readers add them up, and somebody merges them now and then.

A row is an amount under a name and a label. It is added in the transaction of what it counts: both are there, or
neither. On PostgreSQL a connection has rows of its own for what it counts often, and adds to them: that writes no
index and leaves nothing to merge. A connection has one transaction at a time, so two transactions that count the same
thing do not wait for each other.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import tallies
from worker.sql import bulk

MERGED_ROWS: Final = 2000
"""Rows that one merge reads at most."""

_LEAST_ROWS: Final = 500
"""Fewer rows are not worth a merge."""

_OWN_ROWS: Final = "smsclick tallies"
"""In the `info` of a connection, which is lost with it: the ids of its rows, by name and label."""

Tally = tuple[str, str]
"""A name and a label."""


class _OvertakenError(Exception):
    """Another process merges the same rows."""


def add(connection: sa.Connection, amounts: Mapping[Tally, int]) -> None:
    """Count.

    Args:
        connection: in the transaction of what is counted.
        amounts: to add, each by its name and label; those of 0 are left out.
    """
    bulk.insert(connection, tallies, _rows(amounts))


class Counting:
    """Count as `add`, in the same statement as what is counted.

    Args:
        connection: in the transaction of what is counted.
        amounts: to add, each by its name and label; those of 0 are left out.

    Attributes:
        inserts: rows to insert, with their table.
        addition: what to add to rows of this connection, on PostgreSQL.
    """

    def __init__(self, connection: sa.Connection, amounts: Mapping[Tally, int]) -> None:
        self._connection = connection
        self.inserts: tuple[sa.Table, list[bulk.Row]] = (tallies, [])
        self.addition: bulk.Addition | None = None
        self._new: list[bulk.Row] = []
        rows = _rows(amounts)
        if connection.dialect.name != "postgresql":
            self.inserts = (tallies, rows)
            return
        self._own: dict[Tally, int] = connection.info.setdefault(_OWN_ROWS, {})
        known: list[bulk.Row] = []
        for row in rows:
            row_id = self._own.get((row["name"], row["label"]))
            if row_id is None:
                self._new.append(row)
            else:
                known.append({"id": row_id, **row})
        if known:
            self.addition = bulk.Addition(tallies, ("id", "name", "label"), "amount", known)

    def finish(self, added: frozenset[int]) -> None:
        """Insert what this connection has no row for: it never had, or the row was merged.

        Args:
            added: the ids of the rows to which something was added.
        """
        known = self.addition.rows if self.addition else ()
        missing = [*self._new, *({**row, "id": None} for row in known if row["id"] not in added)]
        if not missing:
            return
        values = [{"name": row["name"], "label": row["label"], "amount": row["amount"]} for row in missing]
        query = sa.insert(tallies).values(values).returning(tallies.c.id, tallies.c.name, tallies.c.label)
        # Where this transaction is rolled back these ids are of no row, which the next addition finds.
        self._own.update({(name, label): row_id for row_id, name, label in self._connection.execute(query)})


def _rows(amounts: Mapping[Tally, int]) -> list[bulk.Row]:
    return [{"name": name, "label": label, "amount": amount} for (name, label), amount in amounts.items() if amount]


def totals(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """All counters, by name and label, in one statement: a merge neither hides a row from it nor shows it twice."""
    found: dict[str, dict[str, int]] = {}
    query = sa.select(tallies.c.name, tallies.c.label, sa.func.sum(tallies.c.amount))
    for name, label, amount in connection.execute(query.group_by(tallies.c.name, tallies.c.label)):
        found.setdefault(name, {})[label] = int(amount)
    return found


def merge(database: Database, *, least: int = _LEAST_ROWS, most: int = MERGED_ROWS) -> int:
    """Replace rows of the same name and label by their sum; returns how many rows fewer there are.

    A row that was added by a transaction that is still open stays as it is, and is found by a later merge.

    Args:
        database: where they are.
        least: with fewer rows there is nothing to do.
        most: rows of one merge.
    """
    try:
        with database.begin() as connection:
            return _merge(connection, least, most)
    except _OvertakenError:
        return 0


def merge_seconds(rng: random.Random) -> float:
    """How long a process waits until it merges again: not at the same time as the others."""
    return rng.uniform(20, 40)


def _merge(connection: sa.Connection, least: int, most: int) -> int:
    query = sa.select(tallies).order_by(tallies.c.id).limit(most)
    if connection.dialect.name == "postgresql":  # elsewhere no row is ever changed
        query = query.with_for_update(skip_locked=True)
    some = sa.select(tallies.c.id).limit(least).subquery()
    if (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) < least:
        return 0  # without a lock
    rows = connection.execute(query).all()
    sums: Counter[Tally] = Counter()
    for row in rows:
        sums[row.name, row.label] += row.amount
    if len(rows) == len(sums):
        return 0
    if _delete(connection, [row.id for row in rows]) != len(rows):
        raise _OvertakenError  # which rolls this merge back
    add(connection, sums)
    return len(rows) - len(sums)


def _delete(connection: sa.Connection, ids: Sequence[int]) -> int:
    if connection.dialect.name == "postgresql":
        return connection.execute(sa.delete(tallies).where(bulk.among(connection, tallies.c.id, ids))).rowcount
    # One by one: for a list MariaDB may read the whole table, and wait for rows that others have not committed.
    one = sa.delete(tallies).where(tallies.c.id == sa.bindparam("b_id"))
    return connection.execute(one, [{"b_id": each} for each in ids]).rowcount
