"""Keeps the readings of the balance for `worker.account.books`. Readings in a row with one amount share one row."""

import datetime as dt
from decimal import Decimal

import sqlalchemy as sa

from smsclick.contract import State, balances, messages
from worker.account.books import Books, Charge, Level

KEPT = 200
"""How many levels are kept. An account that sends few messages has about one level for each of them."""

LONGEST_GAP = 5
"""After a gap of more than this many reading periods a new level begins: the amount during the gap is not known."""

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
        asked_at: when the request left, by the database's clock.
        answered_at: when the answer had come.
        amount: the balance of the answer; None if it could not be read.
        every: how often the balance is read.
    """
    last = connection.execute(_LAST).first()
    whole = int(amount) if amount is not None and amount == amount.to_integral_value() else None
    if last is not None and asked_at < last.last_answered_at:
        whole = None  # two processes read at once, or the clock was set: their order is not known
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
    """End the current level, because an answer charged a part of a credit.

    The balance is in whole credits, so it cannot be compared with such charges.
    """
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
    """Delete all readings after the database's clock was set: their times cannot be compared with those of messages."""
    connection.execute(sa.delete(balances))


def books(connection: sa.Connection, account: str) -> Books:
    """Return the balance and the charges of an account, back to the last reading of another account."""
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
        # There are too many charges to compare. Only the newer half of the levels is used, which may have fewer. An
        # account that sends so much has enough control rows and does not need the balance.
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
