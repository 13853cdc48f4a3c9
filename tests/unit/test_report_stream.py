"""A report that is read piece by piece says the same as one that is read whole, or says why it cannot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick.errors import ProviderRefused, SmsclickError, UnreadableAnswer
from smsclick.provider._answers.report import parse_report
from smsclick.provider._answers.report_stream import LONGEST_ROW_BYTES, ReportReader
from smsclick.provider.results import HttpAnswer, ReportRow, UnreadableRow

if TYPE_CHECKING:
    from collections.abc import Iterable

MEXICO = ZoneInfo("America/Mexico_City")
PLAIN = '{"codigo":1,"mensajes":[ { "id_mensaje":1, "telefono":55, "mensaje":"\\"ñ\\"", "estatus_mensaje":1 } ]}'
QUOTED = '"' + PLAIN.replace('"', '""') + '" \n'
ROW = {"id_mensaje": 7, "telefono": 5548007276, "mensaje": "Señor: $1,500", "estatus_mensaje": 3}

_numbers = st.one_of(st.integers(-5, 2**70), st.floats(allow_nan=False, allow_infinity=False))
_values = st.one_of(st.none(), st.booleans(), _numbers, st.text(max_size=9))
_rows = st.fixed_dictionaries(
    {"id_mensaje": st.integers(1, 9), "telefono": st.just(5548007276), "mensaje": st.text(max_size=20)},
    optional={"estatus_mensaje": st.integers(0, 5), "fecha_envio": st.just("12-08-2017 13:35:56"), "x": _values},
)
_fields = {
    "codigo": st.sampled_from([1, "1", 0, -101]),
    "mensajes": st.one_of(st.none(), st.lists(_rows)),
    "descripcion": _values,
}


def stream(pieces: Iterable[bytes], status: int = 200) -> list[ReportRow | UnreadableRow]:
    reader = ReportReader(HttpAnswer(status, b""), MEXICO)
    rows = [row for piece in pieces for row in reader.feed(piece)]
    return rows + reader.close()


def outcome(read: object) -> object:
    try:
        return read()  # type: ignore[operator]
    except SmsclickError as error:
        return type(error)


def pieces_of(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


@given(
    report=st.fixed_dictionaries({}, optional=_fields),
    size=st.integers(1, 60),
    encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
    status=st.sampled_from([200, 404, 500]),
    cut=st.sampled_from([0, 2]),
)
def test_a_report_in_pieces_says_what_it_says_whole(
    report: dict[str, object], size: int, encoding: str, status: int, cut: int
) -> None:
    body = json.dumps(report, ensure_ascii=False).encode(encoding, "replace")
    body = body[: len(body) - cut]
    whole = outcome(lambda: parse_report(HttpAnswer(status, body), MEXICO))
    assert outcome(lambda: stream(pieces_of(body, size), status)) == whole


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize("text", [QUOTED, PLAIN])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_quotes_and_odd_characters_may_be_divided_anywhere(text: str, encoding: str, size: int) -> None:
    body = text.encode(encoding)
    assert stream(pieces_of(body, size)) == parse_report(HttpAnswer(200, body), MEXICO)


def test_rows_come_out_before_the_report_ends_and_a_cut_raises() -> None:
    body = json.dumps({"codigo": 1, "mensajes": [ROW] * 3}).encode()
    reader = ReportReader(HttpAnswer(200, b""), MEXICO)
    assert [row.id_mensaje for row in reader.feed(body[:-5])] == [7, 7]
    with pytest.raises(UnreadableAnswer, match="not readable JSON") as raised:
        reader.close()
    assert "1,500" not in str(raised.value)
    assert raised.value.__context__ is None


def test_no_row_comes_out_before_codigo_1() -> None:
    body = json.dumps({"mensajes": [ROW], "codigo": -101, "descripcion": "no"}).encode()
    reader = ReportReader(HttpAnswer(200, b""), MEXICO)
    assert reader.feed(body) == []
    with pytest.raises(ProviderRefused):
        reader.close()
    assert len(stream([json.dumps({"mensajes": [ROW], "codigo": 1}).encode()])) == 1


def test_a_row_that_cannot_be_read_ends_nothing() -> None:
    first, odd, last = stream([json.dumps({"codigo": 1, "mensajes": [ROW, {"id_mensaje": 8}, ROW]}).encode()])
    assert odd == UnreadableRow(8, "no readable telefono and mensaje")
    assert first == last


def test_a_row_without_an_end_is_given_up() -> None:
    reader = ReportReader(HttpAnswer(200, b""), MEXICO)
    reader.feed(b'{"codigo":1,"mensajes":[{"mensaje":"')
    with pytest.raises(UnreadableAnswer, match="too long"):
        reader.feed(b"x" * LONGEST_ROW_BYTES)
