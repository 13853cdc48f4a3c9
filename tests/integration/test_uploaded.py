"""A file that a person uploads: what it would do, that it does exactly that once, and what was wrong with it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._importing.rows import Defaults
from smsclick.contract import messages
from smsclick.errors import InvalidField
from tests.factories import change_account, clock
from worker.operator.imports import uploaded
from worker.operator.imports.uploaded import Upload
from worker.sql import audit

if TYPE_CHECKING:
    from smsclick._database.engine import Database

LINES = f"""phone,text,key
5551402211,Hola,a
123,Hola,b
5551402212,{"largo " * 40},c
5551402213,Sin clave,
5551402213,Sin clave,
=1+1,=cmd|' /C calc'!A0,d
5551402211,otro texto,a
"""


def upload(content: str = LINES, keys: str = "page-1") -> Upload:
    return Upload(content.encode(), "a.csv", Defaults(), keys)


def keys_of(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(sa.select(messages.c.key).order_by(messages.c.id)))


def test_a_preview_counts_names_bad_lines_and_stores_nothing(database: Database) -> None:
    change_account(database, balance=3, balance_at=clock(database))
    found = uploaded.preview(database, upload())
    assert (found.summary.stored, found.summary.refused, found.summary.unkeyed) == (4, 3, 2)
    assert (found.summary.credits, found.balance) == (5, 3)
    assert [each.line for each in found.problems] == [3, 7, 8]
    assert not any(word in each.reason for each in found.problems for word in ("123", "Hola", "otro", "cmd"))
    assert keys_of(database) == []
    assert audit.listed(database) == []


def test_a_file_is_stored_as_it_was_previewed_and_once_for_each_preview(database: Database) -> None:
    for _ in range(2):
        uploaded.store(database, upload(), actor="ana")
        assert keys_of(database) == ["a", "c", "page-1-5", "page-1-6"]
    assert [(each.act, each.actor, each.count) for each in audit.listed(database)] == [
        ("import", "ana", 0),
        ("import", "ana", 4),
    ]
    uploaded.store(database, upload(keys="page-2"), actor="ana")
    assert keys_of(database)[4:] == ["page-2-5", "page-2-6"]


def test_the_rejected_lines_can_be_opened_in_a_spreadsheet_and_corrected(database: Database) -> None:
    content, suffix = uploaded.rejected(database, upload())
    header, *lines = csv.reader(io.StringIO(content))
    assert suffix == "csv"
    assert header == ["rejected_line", "rejected_reason", "phone", "text", "key"]
    assert [line[0] for line in lines] == ["3", "7", "8"]
    assert lines[1][2:] == ["'=1+1", "'=cmd|' /C calc'!A0", "d"]
    corrected = content.replace("'=1+1", "5551402299")
    assert uploaded.preview(database, upload(corrected)).summary.stored == 2


def test_json_lines_come_back_as_json_lines(database: Database) -> None:
    content, suffix = uploaded.rejected(database, upload('{"phone": "1", "text": "Hola"}\nnothing\n'))
    assert suffix == "jsonl"
    assert len(content.splitlines()) == 2


@pytest.mark.parametrize("content", ["", "a,b\n1,2", "phone,text\n" + "5551402211,Hola\n" * (uploaded.MOST_LINES + 1)])
def test_a_file_that_is_refused_as_a_whole_stores_nothing(database: Database, content: str) -> None:
    for act in (uploaded.preview, uploaded.rejected):
        with pytest.raises(InvalidField):
            act(database, upload(content))
    with pytest.raises(InvalidField):
        uploaded.store(database, upload(content), actor="ana")
    assert keys_of(database) == []
    assert audit.listed(database) == []
