"""What a restore has lost, as far as producers and the provider know: keys without a message, ids without a message."""

import itertools
from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import messages
from worker.reports.owners import owned_ids
from worker.sql.bulk import among

_PER_QUERY = 500


def missing_keys(database: Database, keys: Iterable[str]) -> Iterator[str]:
    """Iterate over those of a producer's keys that no message has, in their order: their messages are lost."""
    rest = iter(keys)
    while part := list(itertools.islice(rest, _PER_QUERY)):
        with database.read() as connection:
            there = set(
                connection.scalars(sa.select(messages.c.key).where(among(connection, messages.c.key, set(part))))
            )
        yield from (key for key in part if key not in there)


def unowned_ids(database: Database, ids: Iterable[int]) -> Iterator[int]:
    """Iterate over those ids of the provider's report that no message has: lost messages, or another system's."""
    rest = iter(ids)
    while part := list(itertools.islice(rest, _PER_QUERY)):
        with database.read() as connection:
            owned = owned_ids(connection, part)
        yield from (each for each in part if each not in owned)
