"""Which ids of the provider's report belong to messages of ours."""

import itertools
from collections.abc import Iterable

import sqlalchemy as sa

from smsclick.contract import messages
from worker.sql.bulk import among

_IDS_PER_QUERY = 500


def owned_ids(connection: sa.Connection, ids: Iterable[int]) -> set[int]:
    """Return those of these provider ids that a message of ours has."""
    owned: set[int] = set()
    rest = iter(ids)
    while part := list(itertools.islice(rest, _IDS_PER_QUERY)):
        query = sa.select(messages.c.id_mensaje).where(among(connection, messages.c.id_mensaje, set(part)))
        owned |= set(connection.scalars(query))
    return owned
