"""Matching: which id of the report belongs to which attempt, decided by phone, text and time alone."""

from __future__ import annotations

import dataclasses
import datetime as dt
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick.provider.codes import Estatus
from smsclick.provider.results import ReportRow
from worker.lifecycle.fingerprint import digits, tolerant, wire_key
from worker.reports.matching import (
    CLOCK_TOLERANCE,
    UNCHANGED_FORM,
    Attempt,
    TextForm,
    match_rows,
    possible_forms,
    possibly_present,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
PHONE = "5551402211"
OTHER_PHONE = "3312345678"
TEXT = "Señora Núñez: su código es 4821. ¿Dudas? Llámenos"
SECOND = dt.timedelta(seconds=1)
LONG = (
    "Estimado Juan, le recordamos que su pago de $1,250.00 MXN vence el 12 de mayo. Puede pagar en cualquier tienda o "
    "en nuestro sitio https://ejemplo.mx/pago con su referencia 998877. Gracias por su preferencia, le esperamos."
)


def attempt(
    message_id: int = 1, *, phone: str = PHONE, text: str = TEXT, since: dt.datetime = NOON, seconds: float = 30
) -> Attempt:
    return Attempt(message_id, phone, text, since, since + dt.timedelta(seconds=seconds))


def row(id_mensaje: int = 7, *, phone: str = PHONE, text: str = TEXT, at: dt.datetime | None = NOON) -> ReportRow:
    return ReportRow(id_mensaje, phone, text, at, Estatus.PENDIENTE, None, None, None, None)


def matched(attempts: list[Attempt], rows: list[ReportRow], owned: set[int] | None = None) -> dict[int, int]:
    return {message: found.row.id_mensaje for message, found in match_rows(attempts, rows, owned or set()).items()}


def how(attempts: list[Attempt], rows: list[ReportRow]) -> dict[int, tuple[ReportRow, str]]:
    return {message: (found.row, found.how) for message, found in match_rows(attempts, rows, set()).items()}


# --- What makes a match


def test_an_attempt_is_found_by_its_phone_and_text() -> None:
    assert how([attempt()], [row()]) == {1: (row(), "phone and text equal")}


def test_another_phone_is_no_match() -> None:
    assert matched([attempt()], [row(phone=OTHER_PHONE)]) == {}


def test_another_text_is_no_match() -> None:
    assert matched([attempt(text="Su código es 4821")], [row(text="Su código es 4822")]) == {}


def test_a_phone_that_a_plain_insert_wrote_its_own_way_is_found() -> None:
    assert matched([attempt(phone="+52 1 55 5140-2211")], [row()]) == {1: 7}


def test_a_phone_that_is_none_matches_only_itself() -> None:
    assert digits("no phone") == "no phone"
    assert matched([attempt(phone="no phone")], [row()]) == {}


# --- Strict before tolerant, nearest in time, one to one


def test_a_text_equal_to_the_letter_goes_before_a_nearer_one_that_is_only_alike() -> None:
    alike = row(7, text=TEXT.upper())
    equal = row(8, at=NOON + 20 * SECOND)
    assert how([attempt()], [alike, equal]) == {1: (equal, "phone and text equal")}


def test_a_text_that_is_only_alike_is_reported_as_that() -> None:
    alike = row(text=TEXT.upper())
    assert how([attempt()], [alike]) == {1: (alike, "phone equal, text alike")}


def test_of_equal_texts_the_nearest_in_time_is_matched() -> None:
    rows = [row(7, at=NOON + 25 * SECOND), row(8, at=NOON + 3 * SECOND), row(9, at=NOON - 40 * SECOND)]
    assert matched([attempt()], rows) == {1: 8}


def test_one_id_never_matches_two_attempts() -> None:
    assert matched([attempt(1), attempt(2, since=NOON + 5 * SECOND)], [row(at=NOON + 4 * SECOND)]) == {2: 7}


def test_two_attempts_of_one_text_get_an_id_each() -> None:
    attempts = [attempt(1), attempt(2, since=NOON + 60 * SECOND)]
    rows = [row(7, at=NOON + 61 * SECOND), row(8, at=NOON + SECOND)]
    assert matched(attempts, rows) == {1: 8, 2: 7}


def test_an_id_that_a_message_owns_is_not_matched() -> None:
    assert matched([attempt()], [row(7), row(8, at=NOON + 20 * SECOND)], {7}) == {1: 8}


# --- The window


@pytest.mark.parametrize(
    "at", [NOON - CLOCK_TOLERANCE, NOON, NOON + 30 * SECOND + CLOCK_TOLERANCE], ids=["early", "at once", "late"]
)
def test_a_row_dated_within_the_attempt_and_the_clock_tolerance_is_found(at: dt.datetime) -> None:
    assert matched([attempt()], [row(at=at)]) == {1: 7}


@pytest.mark.parametrize(
    "at", [NOON - CLOCK_TOLERANCE - SECOND, NOON + 31 * SECOND + CLOCK_TOLERANCE], ids=["before", "after"]
)
def test_an_id_of_others_outside_the_window_is_not_matched(at: dt.datetime) -> None:
    assert matched([attempt()], [row(at=at)]) == {}


def test_a_row_whose_date_nobody_can_read_is_neither_found_nor_absent() -> None:
    rows = [row(at=None)]
    assert matched([attempt()], rows) == {}
    others = [attempt(2, text="otro texto"), attempt(3, phone=OTHER_PHONE)]
    assert possibly_present([attempt(), *others], rows, set()) == {1}


def test_a_row_without_a_date_that_a_message_owns_leaves_no_doubt() -> None:
    assert possibly_present([attempt()], [row(at=None)], {7}) == set()


LATE = NOON + dt.timedelta(minutes=8)


def test_what_a_gateway_accepted_long_after_it_gave_the_call_up_is_found_by_a_report_that_was_asked_later() -> None:
    late = row(at=LATE)
    assert matched([attempt()], [late]) == {}
    assert match_rows([attempt()], [late], set(), read_at=LATE + 60 * SECOND)[1].row == late


def test_a_row_from_before_the_attempt_is_never_it_however_late_the_report_was_asked_for() -> None:
    before = row(at=NOON - CLOCK_TOLERANCE - SECOND)
    assert match_rows([attempt()], [before], set(), read_at=LATE) == {}
    assert possibly_present([attempt()], [before], set(), read_at=LATE) == set()


# --- A date in the hour that the clocks show twice

HOUR = dt.timedelta(hours=1)


def twice(at: dt.datetime) -> ReportRow:
    return dataclasses.replace(row(at=at), fecha_envio_later=at + HOUR)


def test_a_repeated_date_proves_presence_where_its_later_reading_has_not_come_yet() -> None:
    assert match_rows([attempt()], [twice(NOON)], set(), read_at=NOON + 60 * SECOND)[1].row.id_mensaje == 7


def test_a_repeated_date_proves_presence_where_both_readings_are_after_the_attempt() -> None:
    found = match_rows([attempt()], [twice(NOON)], set(), read_at=NOON + 2 * HOUR)
    assert found[1].accepted_at(attempt()) == NOON


def test_a_repeated_date_that_may_be_from_before_the_attempt_is_neither_it_nor_proves_that_it_is_absent() -> None:
    rows = [twice(NOON - HOUR)]
    assert match_rows([attempt()], rows, set(), read_at=NOON + HOUR) == {}
    assert possibly_present([attempt()], rows, set(), read_at=NOON + HOUR) == {1}


# --- Words that a provider puts around every text

_AFFIXES = [("ACME: ", ""), ("", " - ACME"), ("[ACME] ", " Responda ALTO"), ("ACME ", "")]


@pytest.mark.parametrize(("prefix", "suffix"), _AFFIXES)
def test_a_form_is_learned_from_one_text_and_fits_the_others(prefix: str, suffix: str) -> None:
    other = f"{prefix}Su pedido 77 va en camino{suffix}"
    fitting = [
        form
        for form in possible_forms(TEXT, f"{prefix}{TEXT}{suffix}")
        if form.fits("Su pedido 77 va en camino", other)
    ]
    assert TextForm(prefix, suffix) in fitting
    assert matched([attempt(text="Su pedido 77 va en camino")], [row(text=other)]) == {}
    [found] = match_rows(
        [attempt(text="Su pedido 77 va en camino")], [row(text=other)], set(), form=fitting[0]
    ).values()
    assert found.row.id_mensaje == 7


def test_a_prefix_is_learned_from_a_text_that_was_changed_besides() -> None:
    theirs = f"ACME: {_without_accents(TEXT)}"
    assert any(form.fits(LONG, f"ACME: {LONG[:150]}") for form in possible_forms(TEXT, theirs))


def test_where_a_form_is_known_a_text_that_only_looks_like_it_is_not_matched_but_could_be_it() -> None:
    rows = [row(text="ACME: hola 4821")]
    form = TextForm("ACME: ", "")
    assert match_rows([attempt(text="ACME: hola 4821")], rows, set(), form=form) == {}
    assert possibly_present([attempt(text="ACME: hola 4821")], rows, set(), form=form) == {1}
    assert match_rows([attempt(text="hola 4821")], rows, set(), form=form)[1].row == rows[0]


def test_a_text_of_other_content_teaches_no_form() -> None:
    assert possible_forms("Su código es 4821", "Su código es 4822") == []


def test_the_plain_form_leaves_texts_as_they_are() -> None:
    assert UNCHANGED_FORM.strip(TEXT) == TEXT
    assert TextForm("ACME: ", "").strip("ACM") is None


# --- What providers do to a text


def _without_accents(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


_CHANGED: dict[str, Callable[[str], str]] = {
    "without accents": _without_accents,
    "question marks for what is not ASCII": lambda text: text.encode("ascii", "replace").decode(),
    "what is not ASCII left out": lambda text: text.encode("ascii", "ignore").decode(),
    "UTF-8 read as Latin-1": lambda text: text.encode().decode("latin-1"),
    "UTF-8 read as Windows-1252": lambda text: text.encode().decode("cp1252", "replace"),
    "composed differently": lambda text: unicodedata.normalize("NFD", text),
    "spaces folded": lambda text: " ".join(text.split()),
    "spaces around it": lambda text: f" {text}\r\n",
    "line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "capitals": lambda text: text.upper(),
    "cut after the first credit": lambda text: text[:150],
    "cut and without accents": lambda text: (
        unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()[:150]
    ),
    "plain quotes": lambda text: text.replace("“", '"').replace("”", '"'),
}


@pytest.mark.parametrize("form", _CHANGED)
@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        LONG,
        "Año nuevo:\n  20 % menos  en “todo” 🎉 hasta el 3",
        "ÁÉÍÓÚ ÑÜ áéíóú ñü 123",
        "ok",
        f"¡Atención! {LONG}",
    ],
    ids=["accents", "long", "quotes", "only accents", "short", "long with accents"],
)
def test_a_text_is_found_in_whatever_form_it_comes_back(form: str, text: str) -> None:
    assert matched([attempt(text=text)], [row(text=_CHANGED[form](text))]) == {1: 7}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Su código es 4821", "Su código es 4822"),
        ("Su pago de $100 fue recibido", "Su pago de $10 fue recibido"),
        ("Cita el lunes a las 9", "Cita el martes a las 9"),
        ("Entregado", "Entregado 2"),
    ],
)
def test_texts_of_different_content_are_not_alike(one: str, other: str) -> None:
    assert tolerant(one) != tolerant(other)


# --- Properties

_letters = st.sampled_from("aánñb1 ?\n🙂")
_texts = st.text(_letters, max_size=6) | st.text(_letters, min_size=160, max_size=170)
_phones = st.sampled_from([PHONE, "55 5140 2211", OTHER_PHONE])
_instants = st.integers(-200, 200).map(lambda seconds: NOON + seconds * SECOND)
_attempts = st.lists(st.tuples(_phones, _texts, _instants, st.integers(0, 120)), max_size=6).map(
    lambda parts: [
        attempt(number, phone=phone, text=text, since=since, seconds=seconds)
        for number, (phone, text, since, seconds) in enumerate(parts)
    ]
)
_rows = st.lists(st.tuples(st.integers(1, 9), _phones, _texts, st.none() | _instants), max_size=9).map(
    lambda parts: [row(number, phone=digits(phone), text=text, at=at) for number, phone, text, at in parts]
)


@given(_attempts, _rows, st.sets(st.integers(1, 9)))
def test_no_id_goes_to_two_attempts_and_none_that_is_owned_to_any(
    attempts: list[Attempt], rows: list[ReportRow], owned: set[int]
) -> None:
    ids = list(matched(attempts, rows, owned).values())
    assert len(ids) == len(set(ids))
    assert not owned & set(ids)


@given(_attempts, _rows)
def test_what_is_matched_has_the_phone_the_form_and_the_time(attempts: list[Attempt], rows: list[ReportRow]) -> None:
    by_id = {each.message_id: each for each in attempts}
    for message_id, each in match_rows(attempts, rows, set()).items():
        tried, found = by_id[message_id], each.row
        exact = each.how == "phone and text equal"
        assert found.phone == digits(tried.phone)
        assert tolerant(found.text) == tolerant(tried.text)
        assert exact == (found.text == tried.text)
        assert found.fecha_envio is not None
        assert tried.since - CLOCK_TOLERANCE <= found.fecha_envio <= tried.until + CLOCK_TOLERANCE


@given(_attempts, _rows)
def test_no_attempt_stays_without_a_row_that_was_free_for_it(attempts: list[Attempt], rows: list[ReportRow]) -> None:
    found = matched(attempts, rows)
    for lonely in (each for each in attempts if each.message_id not in found):
        assert matched([lonely], rows, set(found.values())) == {}


@given(_phones, _texts, _phones, _texts)
def test_two_messages_share_a_content_fingerprint_exactly_where_a_report_could_take_one_for_the_other(
    phone: str, text: str, other_phone: str, other_text: str
) -> None:
    confused = matched([attempt(phone=phone, text=text)], [row(phone=digits(other_phone), text=other_text)]) != {}
    assert (wire_key(phone, text) == wire_key(other_phone, other_text)) == confused


def test_a_content_fingerprint_fits_its_column_and_reveals_nothing() -> None:
    key = wire_key(PHONE, TEXT)
    assert len(key) == 32
    assert PHONE not in key
