"""One `getMsg` request, and what a refused key means for the account."""

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.errors import ProviderError, ProviderRefused
from smsclick.provider.client import SmsclickClient
from smsclick.provider.codes import Action, lookup
from smsclick.provider.results import MessageStatus
from smsclick.settings import Settings
from worker.account import holds, request_budget
from worker.lifecycle.on_status import PollFailed


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
    if not database.transact(lambda connection: request_budget.take(connection, 1)):
        return None
    return ask(client, id_mensaje)


def key_refused(seen: MessageStatus | PollFailed) -> bool:
    """Whether an answer says that the key does not work."""
    return isinstance(seen, PollFailed) and seen.code is not None and lookup(seen.code).action is Action.HOLD_KEY


def hold_for_refused_key(connection: sa.Connection, refused: PollFailed, settings: Settings) -> None:
    """Hold the account because the key is refused."""
    if refused.code is not None:
        holds.hold_for_refused_key(connection, refused.code, settings)
