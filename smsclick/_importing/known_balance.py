"""The balance that a worker read last, for the closing lines of an import."""

import datetime as dt

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import ACCOUNT, accounts


def known_balance(database: Database) -> tuple[int, dt.datetime] | None:
    """Return the credits of the account and when a worker read them; None if none has."""
    with database.read() as connection:
        row = connection.execute(
            sa.select(accounts.c.balance, accounts.c.balance_at).where(accounts.c.account == ACCOUNT)
        ).first()
    return None if row is None or row.balance is None or row.balance_at is None else (row.balance, row.balance_at)
