"""Checks of a new message: what is accepted, what is refused, and that no error shows its content."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick._enqueue.message import COLUMNS, NewMessage
from smsclick.contract import IfAbsent, Priority
from smsclick.errors import InvalidField, InvalidMessage, InvalidPhone, InvalidText, InvalidTime
from tests.factories import NOW

MINUTE = dt.timedelta(minutes=1)


def of(**values: Any) -> NewMessage:  # noqa: ANN401 - any argument
    given: dict[str, Any] = {"phone": "+52 55 5140 2211", "text": "¡Hola, Íñigo!", "now": NOW}
    return NewMessage.of(**(given | values))


def test_what_is_not_given_has_the_contracts_defaults() -> None:
    new = of(key="k")
    assert new == NewMessage(
        key="k",
        phone="5551402211",
        text="¡Hola, Íñigo!",
        send_at=None,
        expires_at=None,
        priority=Priority.NORMAL,
        rule_id=None,
        if_absent=IfAbsent.RESEND,
        callback=None,
        reference=None,
    )


def test_the_columns_in_are_the_contracts() -> None:
    assert ",".join(COLUMNS) == "phone,text,key,send_at,expires_at,ttl,priority,rule_id,if_absent,callback,reference"


@pytest.mark.parametrize("key", [None, "", "   "])
def test_without_a_key_each_message_gets_its_own(key: str | None) -> None:
    assert of(key=key).key != of(key=key).key


def test_phone_and_text_do_not_show_in_its_repr() -> None:
    assert "5551402211" not in repr(of())
    assert "Hola" not in repr(of())


@pytest.mark.parametrize("given", [NOW.isoformat(), "2026-05-04T06:00:00-06:00", "2026-05-04T12:00:00Z", NOW])
def test_times_of_any_zone_are_kept_in_utc(given: object) -> None:
    assert of(send_at=given).send_at == NOW
    assert of(send_at=given).send_at.tzinfo is dt.UTC  # type: ignore[union-attr]


def test_a_send_at_that_has_just_passed_is_accepted() -> None:
    assert of(send_at=NOW - MINUTE).send_at == NOW - MINUTE


@pytest.mark.parametrize(
    ("values", "error", "says"),
    [
        ({"phone": "123"}, InvalidPhone, "not a Mexican number"),
        ({"phone": "+1 212 555 0100"}, InvalidPhone, "not a Mexican number"),
        ({"phone": None}, InvalidPhone, "must be text"),
        ({"text": ""}, InvalidText, "empty"),
        ({"text": " \n\t"}, InvalidText, "empty"),
        ({"text": 5}, InvalidText, "must be text"),
        ({"send_at": "mañana"}, InvalidTime, "send_at: not a time"),
        ({"send_at": 5}, InvalidTime, "send_at: not a time"),
        ({"send_at": "2026-05-04T13:00:00"}, InvalidTime, "no time zone; add one, like 2026-05-04T13:00:00-06:00"),
        ({"send_at": dt.datetime(2026, 5, 4, 13)}, InvalidTime, "no time zone"),  # noqa: DTZ001 - on purpose
        ({"send_at": NOW - 2 * MINUTE}, InvalidTime, "in the past"),
        ({"send_at": "0001-01-01T00:00:00+14:00"}, InvalidTime, "outside the calendar"),
        ({"expires_at": "9999-12-31T00:00:00+00:00"}, InvalidTime, "outside the calendar"),
        ({"send_at": "0001-01-02T00:00:00+00:00"}, InvalidTime, "outside the calendar"),
        ({"expires_at": NOW}, InvalidTime, "expires_at"),
        ({"expires_at": NOW - MINUTE}, InvalidTime, "expires_at"),
        ({"send_at": NOW + 2 * MINUTE, "expires_at": NOW + MINUTE}, InvalidTime, "expires_at"),
        ({"expires_at": "2026-05-04T13:00:00"}, InvalidTime, "no time zone"),
        ({"key": "k" * 201}, InvalidField, "key: has 201 characters, at most 200 fit"),
        ({"key": 5}, InvalidField, "key: must be text"),
        ({"key": "a\x00b"}, InvalidField, "key: holds a character"),
        ({"rule_id": "1" * 41}, InvalidField, "rule_id"),
        ({"callback": "c" * 501}, InvalidField, "callback"),
        ({"reference": "r" * 201}, InvalidField, "reference"),
        ({"reference": "two\nlines"}, InvalidField, "reference"),
        ({"priority": "urgent"}, InvalidField, "none of high, normal, low"),
        ({"if_absent": "maybe"}, InvalidField, "none of resend, fail"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_one_line(
    values: dict[str, object], error: type[InvalidMessage], says: str
) -> None:
    with pytest.raises(error) as refused:
        of(**values)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ({"priority": "HIGH "}, "priority", Priority.HIGH),
        ({"priority": Priority.LOW}, "priority", Priority.LOW),
        ({"if_absent": " Fail"}, "if_absent", IfAbsent.FAIL),
        ({"rule_id": 12}, "rule_id", "12"),
        ({"key": " order-1 "}, "key", "order-1"),
        ({"reference": ""}, "reference", None),
    ],
)
def test_other_ways_to_write_a_field_are_understood(values: dict[str, object], name: str, expected: object) -> None:
    assert getattr(of(**values), name) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"ttl": 90}, NOW + dt.timedelta(seconds=90)),
        ({"ttl": 0.5}, NOW + dt.timedelta(seconds=0.5)),
        ({"ttl": dt.timedelta(hours=1)}, NOW + dt.timedelta(hours=1)),
        ({"ttl": 90, "send_at": NOW + MINUTE}, NOW + MINUTE + dt.timedelta(seconds=90)),
    ],
)
def test_a_ttl_counts_from_when_it_may_be_sent(values: dict[str, object], expected: dt.datetime) -> None:
    assert of(**values).expires_at == expected


@pytest.mark.parametrize(
    "values",
    [{"ttl": each} for each in (0, -1, True, "90", float("nan"), float("inf"), 1e300, dt.timedelta(0))]
    + [{"ttl": 90, "expires_at": NOW + MINUTE}],
)
def test_a_ttl_that_is_none_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidTime, match="ttl: "):
        of(**values)


# --- Records of files and tasks


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from([*COLUMNS, "telefono", " KEY "]) | st.text(), JSON))
def test_whatever_json_a_call_holds_is_a_message_or_refused(values: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidMessage):
        NewMessage.from_mapping({"phone": "5551402211", "text": "x"} | values)


@pytest.mark.parametrize("name", ["5551402211", "Hola, ya va", "x" * 31])
def test_a_name_that_may_be_content_is_not_shown(name: str) -> None:
    with pytest.raises(InvalidField, match="unknown column; there are") as refused:
        NewMessage.from_mapping({"phone": "5551402211", "text": "hola", name: "x"})
    assert name not in str(refused.value)


def test_a_column_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidField, match="the column phone comes twice"):
        NewMessage.from_mapping({"phone": "5551402211", "telefono": "5551402212", "text": "hola"})


def test_a_record_may_have_the_spanish_names_in_any_case() -> None:
    new = NewMessage.from_mapping({"Telefono": "5551402211", " MENSAJE ": "hola", "clave": "k"})
    assert (new.phone, new.text, new.key) == ("5551402211", "hola", "k")


def test_empty_values_of_a_record_count_as_not_given() -> None:
    new = NewMessage.from_mapping({"phone": "5551402211", "text": "hola", "send_at": "", "priority": None, "key": "k"})
    assert (new.send_at, new.priority) == (None, Priority.NORMAL)


def test_an_unknown_column_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidField, match=r"unknown column celular; there are: phone, text, key"):
        NewMessage.from_mapping({"celular": "5551402211", "text": "hola"})


@pytest.mark.parametrize(
    ("values", "says"),
    [({}, "phone and text missing"), ({"phone": "5551402211"}, "text missing"), ({"text": "x"}, "phone missing")],
)
def test_a_record_without_phone_or_text_is_refused(values: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidField, match=says):
        NewMessage.from_mapping(values)
