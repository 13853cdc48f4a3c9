"""Every database accepts every time that our programs write, whatever its fraction of a second."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import messages
from tests.factories import NOW, insert


@pytest.mark.parametrize("microsecond", [0, 1, 499_999, 500_000, 999_499, 999_500, 999_999])
def test_a_time_with_any_fraction_of_a_second_is_stored_and_read_as_it_is(microsecond: int, database_url: str) -> None:
    database = Database(database_url)
    at = NOW + dt.timedelta(microseconds=microsecond)
    insert(database, due_at=at)
    later = at + dt.timedelta(seconds=1)
    with database.begin() as connection:
        connection.execute(sa.update(messages).values(due_at=later, unknown_since=at))
    with database.read() as connection:
        row = connection.execute(sa.select(messages.c.due_at, messages.c.unknown_since)).one()
    assert (row.due_at, row.unknown_since) == (later, at)
    database.dispose()
