"""The balance as it was read, kept for `worker.account.books`: one row for readings in a row that gave the same."""

import datetime as dt
from decimal import Decimal

import sqlalchemy as sa

from smsclick.contract import State, balances, messages
from worker.account.books import Books, Charge, Level

KEPT = 200
"""Levels that are kept; in a quiet account about one for each message."""

LONGEST_GAP = 5
"""Times the wait between two readings: after a longer silence a new level begins, for nobody knows what was between."""

_MOST_CHARGES = 500
_EARLIER = dt.timedelta(hours=1)
_LAST = sa.select(balances).order_by(balances.c.id.desc()).limit(1)


def record(
    connection: sa.Connection,
    account: str,
    asked_at: dt.datetime,
    answered_at: dt.datetime,
    amount: Decimal | None,
    every: dt.timedelta,
) -> None:
    """Keep a reading.

    Args:
        connection: in a transaction that locks the account's row, so that readings come one after the other.
        account: the fingerprint of the key.
        asked_at: when it was asked for, by the database's clock.
        answered_at: when the answer was there.
        amount: what it said; None where nobody could read it.
        every: how often the balance is read.
    """
    last = connection.execute(_LAST).first()
    whole = int(amount) if amount is not None and amount == amount.to_integral_value() else None
    if last is not None and asked_at < last.last_answered_at:
        whole = None  # two at once, or the clock was set: which of them is the later one is not known
    elif (
        last is not None
        and (last.account_fingerprint, last.amount) == (account, whole)
        and asked_at - last.last_answered_at <= LONGEST_GAP * every
    ):
        later = {"last_asked_at": asked_at, "last_answered_at": answered_at}
        connection.execute(sa.update(balances).where(balances.c.id == last.id).values(**later))
        return
    _insert(connection, account, whole, asked_at, answered_at)


def void(connection: sa.Connection, at: dt.datetime) -> None:
    """An answer named a part of a credit: what the balance shows as whole credits cannot be compared with charges."""
    last = connection.execute(_LAST).first()
    if last is not None and last.amount is not None:
        _insert(connection, last.account_fingerprint, None, at, at)


def _insert(
    connection: sa.Connection, account: str, amount: int | None, asked_at: dt.datetime, answered_at: dt.datetime
) -> None:
    result = connection.execute(
        sa.insert(balances).values(
            account_fingerprint=account,
            amount=amount,
            first_asked_at=asked_at,
            first_answered_at=answered_at,
            last_asked_at=asked_at,
            last_answered_at=answered_at,
        )
    )
    newest: int = result.inserted_primary_key[0]  # type: ignore[index]
    connection.execute(sa.delete(balances).where(balances.c.id <= newest - KEPT))


def forget(connection: sa.Connection) -> None:
    """The database's clock was set: the times of readings and of messages cannot be compared any more."""
    connection.execute(sa.delete(balances))


def books(connection: sa.Connection, account: str) -> Books:
    """The books of an account, as far back as readings of it come one after the other."""
    levels: list[Level] = []
    rows = connection.execute(sa.select(balances).order_by(balances.c.id.desc()).limit(KEPT))
    for row in rows:
        if row.account_fingerprint != account:
            break
        levels.append(
            Level(row.amount, row.first_asked_at, row.first_answered_at, row.last_asked_at, row.last_answered_at)
        )
    levels.reverse()
    if not levels:
        return Books((), ())
    charges = _charges(connection, levels[0].first_asked)
    while len(charges) > _MOST_CHARGES and len(levels) > 1:
        # An account as busy as that needs no second witness; it may have become quiet since.
        levels = levels[len(levels) // 2 :]
        charges = _charges(connection, levels[0].first_asked)
    return Books(levels, charges) if len(charges) <= _MOST_CHARGES else Books((), ())


def _charges(connection: sa.Connection, begin: dt.datetime) -> list[Charge]:
    rows = connection.execute(
        sa.select(
            messages.c.attempted_at,
            messages.c.sent_at,
            messages.c.credits_used,
            messages.c.id_source,
            messages.c.state,
        )
        .where(messages.c.sent_at >= begin - _EARLIER, messages.c.id_mensaje.is_not(None))
        .order_by(messages.c.sent_at)
        .limit(_MOST_CHARGES + 1)
    )
    return [
        Charge(
            min(row.attempted_at or row.sent_at, row.sent_at),
            max(row.attempted_at or row.sent_at, row.sent_at),
            row.credits_used if row.id_source is None else None,
            row.state == State.DELIVERED,
        )
        for row in rows
    ]
