"""`getMsg` requests: how many may leave, one of them, and what a refused key means for the account.

All workers share a bucket of tokens in the database. Reports that fail leave thousands of messages to `getMsg` at once.
The provider is then asked for them one after the other, in the order of their due times.
"""

import sqlalchemy as sa

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick.contract import budgets
from smsclick.errors import ProviderError, ProviderRefused
from smsclick.provider.client import SmsclickClient
from smsclick.provider.codes import Action, lookup
from smsclick.provider.results import MessageStatus
from smsclick.settings import Settings
from worker.account import holds
from worker.lifecycle.on_status import PollFailed
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


def ask(client: SmsclickClient, id_mensaje: int) -> MessageStatus | PollFailed:
    """What `getMsg` says of one message; its caller has counted it against the budget."""
    try:
        return client.status(id_mensaje)
    except ProviderRefused as error:
        return PollFailed(error.code, lookup(error.code).meaning)
    except ProviderError as error:
        return PollFailed(None, str(error))


def ask_within_budget(database: Database, client: SmsclickClient, id_mensaje: int) -> MessageStatus | PollFailed | None:
    """Ask `getMsg` for one message if the budget allows one more request; None where it does not."""
    if not database.transact(lambda connection: take(connection, 1)):
        return None
    return ask(client, id_mensaje)


def key_refused(seen: MessageStatus | PollFailed) -> bool:
    """Whether an answer says that the key does not work."""
    return isinstance(seen, PollFailed) and seen.code is not None and lookup(seen.code).action is Action.HOLD_KEY


def hold_for_refused_key(connection: sa.Connection, refused: PollFailed, settings: Settings) -> None:
    """Hold the account because the key is refused."""
    if refused.code is not None:
        holds.hold_for_refused_key(connection, refused.code, settings)


def _read() -> sa.Select[tuple[float, object, object]]:
    return sa.select(budgets.c.tokens, budgets.c.at, db_now().label("now")).where(budgets.c.name == _NAME)


def _filled(row: sa.Row[tuple[float, object, object]]) -> float:
    seconds = max(0.0, (row.now - row.at).total_seconds())
    return float(min(BURST, row.tokens + seconds * CHECKS_PER_SECOND))
