"""Files of messages: each bad line is reported by its number and costs nothing but itself."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from smsclick._database.engine import Database
from smsclick._enqueue.store import CHUNK
from smsclick._importing.records import Problem
from smsclick._importing.rows import Defaults, Row, read_rows
from smsclick._importing.store_rows import Summary, import_rows
from smsclick.contract import messages
from smsclick.errors import DatabaseUnavailable, InvalidField

if TYPE_CHECKING:
    from collections.abc import Iterator

PHONE = "5551402211"


def read(content: str | bytes, name: str = "") -> list[Row | Problem]:
    data = content if isinstance(content, bytes) else content.encode()
    return list(read_rows(io.BytesIO(data), name=name))


def good(content: str | bytes, name: str = "") -> list[tuple[int, str, str]]:
    """Line, phone and text of a file that has no bad line."""
    rows = read(content, name)
    assert all(isinstance(row, Row) for row in rows), rows
    return [(row.line, row.message.phone, row.message.text) for row in rows if isinstance(row, Row)]


def bad(content: str | bytes, name: str = "") -> dict[int, str]:
    return {row.line: row.reason for row in read(content, name) if isinstance(row, Problem)}


def refusal(content: str | bytes, name: str = "") -> str:
    with pytest.raises(InvalidField) as refused:
        read(content, name)
    return str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        "phone,text,key\n5551402211,Hola,k\n",
        "telefono;mensaje;clave\n5551402211;Hola;k\n",
        "phone\ttext\tkey\n5551402211\tHola\tk\n",
        " Phone , TEXT ,key\n5551402211,Hola,k\n",
        "\ufeffphone,text,key\r\n5551402211,Hola,k\r\n",
        '"text","key","phone"\n"Hola","k","+52 55 5140 2211"',
        "\nphone,text,key\n5551402211,Hola,k\n\n\n".removeprefix("\n"),
    ],
)
def test_a_csv_may_be_written_in_any_usual_way(content: str) -> None:
    assert good(content) == [(2, PHONE, "Hola")]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('{"phone": "5551402211", "text": "Hola"}\n', ""),
        ('{"telefono": 5551402211, "mensaje": "Hola", "clave": "k", "send_at": null}', "-"),
        ('\ufeff{"phone": "5551402211", "text": "Hola"}\r\n', "messages.csv"),
    ],
)
def test_json_lines_are_recognized_by_their_brace(content: str, name: str) -> None:
    assert good(content, name) == [(1, PHONE, "Hola")]


def test_json_lines_whose_first_line_is_broken_are_recognized_by_the_suffix() -> None:
    rows = read('phone?\n{"phone": "5551402211", "text": "Hola"}\n', "messages.jsonl")
    assert [type(row) for row in rows] == [Problem, Row]


def test_a_text_may_hold_line_ends_separators_and_quotes() -> None:
    content = 'phone,text\n5551402211,"Hola, ""Ana"":\nuno\r\ndos"\n5551402212,fin\n'
    assert good(content) == [(2, PHONE, 'Hola, "Ana":\nuno\r\ndos'), (5, "5551402212", "fin")]


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\r\nphone;text;key\r\n5551402211;Mañana;k\r\n",
        '"sep=\t"\nphone\ttext\tkey\n5551402211\tMañana\tk\n',
        "\nTeléfono,MENSAJE,Clave,,\n5551402211,Mañana,k,,\n,,,,\n,,,,\n",
        "phone|text|key\n'5551402211|Mañana|k\n",
        'phone,text,key\n"=""5551402211""",Mañana,k\n',
        "Send At,phone,text\n,5551402211,Mañana\n",
        "rejected_line,rejected_reason,phone,text\n7,the phone is empty,5551402211,Mañana\n",
    ],
)
def test_what_spreadsheets_write_is_read(content: str) -> None:
    (row,) = read(content)
    assert isinstance(row, Row), row
    assert (row.message.phone, row.message.text) == (PHONE, "Mañana")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_a_file_is_read_in_the_encodings_that_programs_save_in(encoding: str) -> None:
    text = "¿Añadió “eñes”, «acentos» y más? Sí: 5 °C" if encoding != "latin-1" else "¿Añadió eñes, «acentos» y más?"
    content = f'phone,text\n5551402211,"{text}"\n5551402212,Sí\n'
    assert good(content.encode(encoding)) == [(2, PHONE, text), (3, "5551402212", "Sí")]


def test_what_cannot_be_read_twice_is_read_as_a_whole_too() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError

    lines = "".join(f"5551402211,Hola {n}\n" for n in range(3000))
    assert len(list(read_rows(Pipe(f"phone,text\n{lines}".encode())))) == 3000
    with pytest.raises(InvalidField, match="two encodings"):
        list(read_rows(Pipe(f"phone,text\n{lines}5551402211,ñ\n".encode() + b"5551402211,\xf1\n")))


def test_a_comma_that_is_not_quoted_shifts_no_field() -> None:
    assert bad("phone,text,key\n5551402211,Hola, Ana,\n") == {
        2: "4 fields where the header has 3; put a text that holds a separator in quotes"
    }
    assert bad("phone,text,key,\n5551402211,Hola, Ana,k\n") == {2: "a field stands in a column that has no name"}


def test_a_validity_may_be_a_column_or_a_default() -> None:
    content = "phone,text,ttl,expires_at\n5551402211,a,60,\n5551402211,b,,\n5551402211,c,,2999-01-01T00:00:00Z\n"
    before = dt.datetime.now(dt.UTC)
    rows = list(read_rows(io.BytesIO(content.encode()), defaults=Defaults(ttl=3600)))
    ends = [row.message.expires_at for row in rows if isinstance(row, Row)]
    assert all(ends)
    spans = [round((end - before).total_seconds(), -1) for end in ends if end]
    assert spans[:2] == [60, 3600]
    assert spans[2] > 3600
    assert "not a number" in bad("phone,text,ttl\n5551402211,a,soon\n")[2]


def test_times_without_a_zone_are_in_the_one_that_was_given() -> None:
    content = "phone,text,send_at\n5551402211,a,2999-07-01 09:30\n5551402211,b,2999-07-01T09:30:00Z\n"
    rows = list(read_rows(io.BytesIO(content.encode()), defaults=Defaults(zone=ZoneInfo("America/Tijuana"))))
    times = [row.message.send_at for row in rows if isinstance(row, Row)]
    assert [time.hour for time in times if time] == [16, 9]
    assert "has no time zone" in bad(content)[2]


def test_every_column_of_the_contract_is_read() -> None:
    content = (
        "phone,text,key,send_at,expires_at,priority,rule_id,if_absent,callback,reference\n"
        "5551402211,Hola,k,2999-01-01T00:00:00Z,2999-01-02T00:00:00Z,high,7,fail,https://example.com/x,factura 1\n"
    )
    (row,) = read(content)
    assert isinstance(row, Row)
    message = row.message
    assert (message.key, message.priority.name, message.rule_id, message.if_absent) == ("k", "HIGH", "7", "fail")
    assert message.send_at is not None
    assert message.expires_at is not None
    assert (message.send_at.year, message.expires_at.day) == (2999, 2)
    assert (message.callback, message.reference) == ("https://example.com/x", "factura 1")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("123,Hola,k,", "not a Mexican number"),
        (",Hola,k,", "phone missing"),
        ("5551402211,,k,", "text missing"),
        ("5551402211,   ,k,", "the text is empty"),
        ("5551402211,Hola,k,2999-01-01T00:00:00", "has no time zone"),
        ("5551402211,Hola,k,2001-01-01T00:00:00Z", "is in the past"),
        ("5551402211,Hola,k,mañana", "not a time"),
        ("5551402211,Hola,k,9999-12-31T23:59:59-14:00", "outside the calendar"),
        ("5551402211,Hola", "2 fields where the header has 4"),
        ("5551402211,Hola, Ana,k,", "5 fields where the header has 4"),
        ('5551402211,"Hola,k,', "a quote is not closed"),
        ('5551402211,"Hola "Ana"",k,', "a quote is not closed, or a quoted field goes on"),
        ("5551402211,Ho\rla,k,", "carriage return"),
        ("5551402211,Ho\0la,k,", "U\\+0000|NUL|byte"),
    ],
)
def test_a_bad_line_is_reported_and_its_neighbours_go_in(line: str, reason: str) -> None:
    content = f"phone,text,key,send_at\n5551402211,antes,k1,\n{line}\n5551402212,después,k2,\n"
    rows = read(content)
    assert [(row.line, row.message.text) for row in rows if isinstance(row, Row)] == [(2, "antes"), (4, "después")]
    assert list(bad(content)) == [3]
    assert re.search(reason, bad(content)[3])


def test_a_quote_that_is_never_closed_takes_no_other_line_with_it() -> None:
    content = 'phone,text\n5551402211,"abierta\n' + "".join(f"5551402211,línea {n}\n" for n in range(300))
    assert list(bad(content)) == [2]
    assert len(read(content)) == 301


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"phone": "5551402211", "text": "Hola"', "not JSON from character"),
        ("5551402211", "not a JSON object"),
        ('["5551402211", "Hola"]', "not a JSON object"),
        ('{"phone": "5551402211", "text": 5}', "must be text"),
        ('{"phone": "5551402211", "text": "Hola", "key": 5}', "key: must be text"),
        ('{"phone": "5551402211", "text": "Hola", "prioritty": "high"}', "unknown column 'prioritty'"),
        ('{"phone": "5551402211", "text": "Hola", "mensaje": "Adiós"}', "the column text comes twice"),
        ('{"phone": "5551402211", "text": "x\\ud800"}', "U\\+D800"),
        ("[" * 60_000, "not a JSON object"),
        ('{"phone": ' + "9" * 5000 + ', "text": "Hola"}', "not a JSON object|not a Mexican number"),
        ("x" * 70_000, "longer than 64 KiB"),
    ],
)
def test_a_bad_json_line_is_reported_and_its_neighbours_go_in(line: str, reason: str) -> None:
    content = f'{{"phone": "5551402211", "text": "a"}}\n{line}\n{{"phone": "5551402211", "text": "b"}}\n'
    rows = read(content)
    assert [type(row) for row in rows] == [Row, Problem, Row]
    assert re.search(reason, bad(content)[2])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("phone,text,prioridad\n", "unknown column 'prioridad'; there are phone, text"),
        ("phone,text,key,clave\n", "the column key comes twice"),
        ("phone,key\n", "the header lacks text"),
        ("key\n", "the header lacks phone and text"),
        ("5551402211,Hola\n5551402212,Hola\n", "the first line is no header"),
        ('[{"phone": "5551402211"}]', "one JSON array"),
        ("phone,text\n".encode("utf-32"), "UTF-32"),
        ("phone,text\n".encode("utf-16") + b"x", "begins as UTF-16 but is not"),
        ("phone,text\n5551402211,ñu\n".encode() + b"5551402212,\xf1u\n", "in two encodings at once"),
        ("phone,text\n5551402211,mañana\n".encode("cp850"), "encoding cannot be recognised"),
        ("phone,text\n5551402211,mañana\n".encode("mac_roman"), "encoding cannot be recognised"),
        ("phone,text\n5551402211,aquí\n".encode("mac_roman"), "encoding cannot be recognised"),
        ("phone,text\n5551402211,está\n".encode("cp850"), "encoding cannot be recognised"),
        (b"phone,text\n5551402211,\xff\n", "encoding cannot be recognised"),
        (b"phone,text\n5551402211,a\x81\n", "encoding cannot be recognised"),
        ("phone,text,,prioridad\n", "unknown column at position 3"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused_at_once(content: str | bytes, reason: str) -> None:
    assert reason in refusal(content)


def test_no_report_shows_a_phone_or_a_text() -> None:
    secrets = ("5526632636", "Hola Ana")
    reasons = [
        refusal("phone,text,Hola Ana\n"),
        refusal("phone,text,5526632636\n"),
        refusal("Hola Ana,5526632636\n"),
        *bad("phone,text,priority\n0005526632636,x,high\n5526632636,x,Hola Ana\n5526632636,Hola Ana\n").values(),
        *bad('phone,text,if_absent\n5526632636,x,Hola Ana\n5526632636,"Hola Ana\n').values(),
        *bad('{"phone": "5526632636", "text": "Hola Ana", "Hola Ana": 1}\n{"phone": "Hola Ana 5526632636"').values(),
        *bad(
            '{"phone": "Hola Ana 5526632636", "text": "Hola Ana"}\n{"phone": "5526632636", "text": "Hola Ana\x01"'
        ).values(),
    ]
    assert len(reasons) == 12
    assert not [reason for reason in reasons for secret in secrets if secret in reason]


@given(st.binary(max_size=400), st.sampled_from([b"phone,text\n", b"phone;text;key\n", b'{"phone":1}\n']))
def test_whatever_follows_the_first_line_nothing_raises_and_lines_are_numbered(junk: bytes, first: bytes) -> None:
    try:
        rows = read(first + junk)
    except InvalidField as refused:
        assert "save the file as UTF-8" in str(refused)  # noqa: PT017 - both outcomes are right
        return
    numbers = [row.line for row in rows]
    assert numbers == sorted(set(numbers))


_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=199).map(
    lambda text: text + "x"
)


@given(st.lists(_TEXTS.filter(str.strip), max_size=20), st.sampled_from([",", ";", "\t"]))
def test_what_a_csv_writer_wrote_is_read_back_exactly(texts: list[str], delimiter: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([("phone", "text"), *((PHONE, text) for text in texts)])
    assert [text for _, _, text in good(file.getvalue())] == texts


@given(st.lists(_TEXTS.filter(str.strip), min_size=1, max_size=20), st.booleans())
def test_what_a_json_writer_wrote_is_read_back_exactly(texts: list[str], ascii_only: bool) -> None:  # noqa: FBT001
    lines = "".join(json.dumps({"phone": PHONE, "text": text}, ensure_ascii=ascii_only) + "\n" for text in texts)
    assert [text for _, _, text in good(lines)] == texts


# --- Into the database


@pytest.fixture
def database(migrated_sqlite_url: str) -> Iterator[Database]:
    opened = Database(migrated_sqlite_url)
    yield opened
    opened.dispose()


def load(database: Database, content: str) -> tuple[Summary, dict[int, str]]:
    summary, problems = Summary(), list[Problem]()
    import_rows(database, read_rows(io.BytesIO(content.encode())), report=problems.append, summary=summary)
    return summary, {problem.line: problem.reason for problem in problems}


def keys(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(sa.select(messages.c.key).order_by(messages.c.key)))


def test_the_same_file_twice_is_each_message_once(database: Database) -> None:
    content = "phone,text,key\n5551402211,Hola,a\n5551402212,Hola,b\n"
    assert load(database, content) == (Summary(stored=2), {})
    assert load(database, content) == (Summary(known=2), {})
    assert keys(database) == ["a", "b"]


def test_a_key_that_comes_twice_is_one_message_or_a_bad_line(database: Database) -> None:
    content = "phone,text,key\n5551402211,Hola,a\n5551402211,Hola,a\n5551402211,Otra,a\n"
    summary, problems = load(database, content)
    assert summary == Summary(stored=1, known=1, refused=1)
    assert list(problems) == [4]
    assert "the key 'a' already belongs to message 1" in problems[4]


def test_lines_without_a_key_are_counted(database: Database) -> None:
    summary, _ = load(database, "phone,text,key\n5551402211,Hola,\n5551402211,Hola,a\n5551402211,Hola, \n")
    assert summary == Summary(stored=3, unkeyed=2)


class FailsLater(Database):
    """A database that is lost after its first transaction."""

    begun = 0

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        self.begun += 1
        if self.begun > 1:
            raise DatabaseUnavailable("gone")
        with super().begin() as connection:
            yield connection


def test_what_went_in_before_the_database_was_lost_stays_and_is_counted(migrated_sqlite_url: str) -> None:
    rows = "".join(f"5551402211,Hola,k{n}\n" for n in range(2 * CHUNK))
    database, summary = FailsLater(migrated_sqlite_url), Summary()
    with pytest.raises(DatabaseUnavailable):
        import_rows(
            database,
            read_rows(io.BytesIO(f"phone,text,key\n{rows}".encode())),
            report=lambda _: None,
            summary=summary,
        )
    assert summary.stored == len(keys(database)) == CHUNK
    database.dispose()
