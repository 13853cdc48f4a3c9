"""Whether a report has earned that its silence counts: control rows, what they teach, every reason why it has not."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick.provider.codes import Estatus
from smsclick.provider.results import ReportRow, UnreadableRow
from worker.alerting.doubt_reasons import REASONS, reason
from worker.lifecycle.doubt import Doubt
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS, Reading
from worker.reconciliation.control_rows import Control
from worker.reports.matching import UNCHANGED_FORM, Attempt, TextForm, match_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOON = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
SETTLE = 600 * SECOND
READ_AT = NOON + 700 * SECOND
PHONE = "5551402211"
TEXT = "Su código es 4821"
ATTEMPT = Attempt(1, PHONE, TEXT, NOON, NOON + 30 * SECOND)

BEFORE = [-60.0, -40.0, -20.0]
AFTER = [60.0, 650.0]


def control(seconds: float, *, witness: bool = True) -> Control:
    """Accepted so many seconds after noon."""
    number = 5000 + int(seconds)
    at = NOON + seconds * SECOND
    return Control(number, f"55{number:08}", f"Pedido {number} en camino", at - SECOND, at, witness=witness)


def row(of: Control) -> ReportRow:
    """A control row as it must look."""
    return ReportRow(of.id_mensaje, of.phone, of.text, of.until, Estatus.ENVIADO, None, None, None, None)


def reading(controls: Sequence[Control], rows: Sequence[ReportRow | UnreadableRow]) -> Reading:
    made = Reading({PHONE}, controls, READ_AT)
    for each in rows:
        made.add(each)
    return made


def doubt(controls: Sequence[Control], rows: Sequence[ReportRow | UnreadableRow]) -> Doubt | None:
    return reading(controls, rows).doubt(ATTEMPT, frozenset(), SETTLE)


CONTROLS = [control(seconds) for seconds in [*BEFORE, *AFTER]]
ROWS = [row(each) for each in CONTROLS]


# --- What earns it


def test_silence_counts_where_control_rows_before_and_after_are_all_there_and_as_expected() -> None:
    assert doubt(CONTROLS, ROWS) is None


@pytest.mark.parametrize(
    "seconds",
    [[], BEFORE, AFTER, [-20, 60], [-20, 700], [-40, -20]],
    ids=["none", "none after", "none before", "two", "two, the last one young", "two before"],
)
def test_too_few_control_rows_prove_nothing(seconds: list[float]) -> None:
    controls = [control(each) for each in seconds]
    assert doubt(controls, [row(each) for each in controls]) is Doubt.NO_CONTROLS


def test_a_message_whose_id_came_from_a_report_is_no_control_row() -> None:
    controls = [control(seconds, witness=False) for seconds in [*BEFORE, *AFTER]]
    assert doubt(controls, [row(each) for each in controls]) is Doubt.NO_CONTROLS


def test_a_control_row_from_days_ago_says_nothing_about_the_report_of_today() -> None:
    controls = [control(seconds - 2 * 86_400) for seconds in BEFORE] + [control(60)]
    assert doubt(controls, [row(each) for each in controls]) is Doubt.NO_CONTROLS


def test_one_that_was_accepted_while_the_attempt_went_on_is_neither_before_nor_after_it() -> None:
    controls = [control(seconds) for seconds in (5, 10, 15)]
    assert doubt(controls, [row(each) for each in controls]) is Doubt.NO_CONTROLS


# --- What voids it


@pytest.mark.parametrize("missing", range(len(CONTROLS) - 1))
def test_one_control_row_that_is_missing_after_the_settle_window_voids_it(missing: int) -> None:
    rows = [each for number, each in enumerate(ROWS) if number != missing]
    assert doubt(CONTROLS, rows) is Doubt.MISSING


def test_one_that_is_younger_than_the_settle_window_and_missing_means_wait() -> None:
    controls = [*CONTROLS, control(500)]
    assert doubt(controls, ROWS) is Doubt.NOT_YET


def test_one_that_was_accepted_longer_after_the_attempt_than_the_settle_window_need_not_be_there_yet() -> None:
    assert doubt([*CONTROLS, control(690)], ROWS) is None


def test_a_cap_that_cuts_the_end_of_the_span_is_noticed_although_the_neighbours_are_there() -> None:
    controls = [*CONTROLS, control(300), control(400)]
    assert doubt(controls, [row(each) for each in controls if each.until < NOON + 200 * SECOND]) is Doubt.NOT_YET
    late = Reading({PHONE}, controls, READ_AT + SETTLE)
    for each in controls[:4]:
        late.add(row(each))
    assert late.doubt(ATTEMPT, frozenset(), SETTLE) is Doubt.MISSING


ODD_FORMS: dict[str, tuple[Doubt, Callable[[ReportRow], ReportRow | UnreadableRow]]] = {
    "masked phone": (Doubt.PHONES, lambda each: dataclasses.replace(each, phone=each.phone[-4:])),
    "other phone": (Doubt.PHONES, lambda each: dataclasses.replace(each, phone="3312345678")),
    "other text": (Doubt.TEXTS, lambda each: dataclasses.replace(each, text="su mensaje")),
    "a zone an hour off": (Doubt.DATES, lambda each: _moved(each, 3600)),
    "a zone half an hour off": (Doubt.DATES, lambda each: _moved(each, -1800)),
    "no date": (Doubt.ODD, lambda each: dataclasses.replace(each, fecha_envio=None)),
    "no text": (Doubt.ODD, lambda each: UnreadableRow(each.id_mensaje, "no readable mensaje", each.fecha_envio)),
}


def _moved(each: ReportRow, seconds: float) -> ReportRow:
    assert each.fecha_envio is not None
    return dataclasses.replace(each, fecha_envio=each.fecha_envio + seconds * SECOND)


@pytest.mark.parametrize("form", ODD_FORMS)
@pytest.mark.parametrize("which", range(len(ROWS)))
def test_one_control_row_in_another_form_voids_it_and_says_why(form: str, which: int) -> None:
    expected, change = ODD_FORMS[form]
    rows: list[ReportRow | UnreadableRow] = [*ROWS]
    rows[which] = change(ROWS[which])
    assert doubt(CONTROLS, rows) is expected


def test_an_estatus_that_the_manual_does_not_list_changes_nothing_about_a_message_of_known_id() -> None:
    assert doubt(CONTROLS, [dataclasses.replace(each, estatus=None) for each in ROWS]) is None


ELSE = "3312345678"
ODD_ROWS: dict[str, Callable[[str | None], ReportRow | UnreadableRow]] = {
    "no text": lambda phone: UnreadableRow(77, "no readable mensaje", NOON, phone),
    "no text, no date": lambda phone: UnreadableRow(77, "no readable mensaje", None, phone),
    "no id": lambda phone: UnreadableRow(None, "no readable id_mensaje", NOON, phone),
    "odd estatus": lambda phone: ReportRow(77, phone or "2211", "Hola", NOON, None, None, None, None, None),
    "odd date": lambda phone: ReportRow(77, phone or "2211", "Hola", None, Estatus.ENVIADO, None, None, None, None),
    "masked phone": lambda _: ReportRow(77, "2211", "Hola", NOON, Estatus.ENVIADO, None, None, None, None),
    "long phone": lambda _: ReportRow(77, "00" + ELSE, "Hola", NOON, None, None, None, None, None),
}


@pytest.mark.parametrize("phone", [PHONE, None], ids=["its phone", "no phone"])
@pytest.mark.parametrize("odd", ODD_ROWS)
def test_a_row_that_cannot_be_read_voids_absence_unless_a_message_of_ours_has_its_id(
    odd: str, phone: str | None
) -> None:
    seen = reading(CONTROLS, [*ROWS, ODD_ROWS[odd](phone)])
    assert seen.doubt(ATTEMPT, frozenset(), SETTLE) is Doubt.ODD
    if odd != "no id":
        assert seen.doubt(ATTEMPT, {77}, SETTLE) is None


@pytest.mark.parametrize("odd", [name for name in ODD_ROWS if "phone" not in name])
def test_a_row_that_cannot_be_read_but_is_of_another_phone_is_not_in_its_way(odd: str) -> None:
    assert doubt(CONTROLS, [*ROWS, ODD_ROWS[odd](ELSE)]) is None
    other = dataclasses.replace(ATTEMPT, message_id=2, phone=ELSE)
    seen = Reading({PHONE, ELSE}, CONTROLS, READ_AT)
    for each in [*ROWS, ODD_ROWS[odd](ELSE)]:
        seen.add(each)
    assert [seen.doubt(each, frozenset(), SETTLE) for each in (ATTEMPT, other)] == [None, Doubt.ODD]


def test_where_phones_are_masked_the_phone_of_an_odd_row_proves_nothing() -> None:
    masked = [dataclasses.replace(each, phone="3300000000") for each in ROWS]
    assert doubt(CONTROLS, [*masked, ODD_ROWS["no text"](ELSE)]) is Doubt.PHONES


def test_a_row_that_cannot_be_read_from_before_the_attempt_is_not_in_its_way() -> None:
    assert doubt(CONTROLS, [*ROWS, UnreadableRow(77, "no readable mensaje", NOON - 200 * SECOND, PHONE)]) is None


def test_a_row_that_cannot_be_read_never_voids_presence() -> None:
    own = ReportRow(9, PHONE, TEXT, NOON + SECOND, None, None, None, None, None)
    seen = reading(CONTROLS, [*ROWS, *(odd(None) for odd in ODD_ROWS.values()), own])
    assert match_rows([ATTEMPT], seen.rows, frozenset(), form=seen.form)[1].row == own


# --- What it teaches


def with_words(prefix: str, suffix: str = "") -> list[ReportRow]:
    return [dataclasses.replace(each, text=f"{prefix}{each.text}{suffix}") for each in ROWS]


@pytest.mark.parametrize(("prefix", "suffix"), [("ACME: ", ""), ("", " -ACME"), ("[ACME] ", " Alto=BAJA")])
def test_words_that_all_control_rows_have_around_their_text_are_learned_and_absence_counts_with_them(
    prefix: str, suffix: str
) -> None:
    seen = reading(CONTROLS, with_words(prefix, suffix))
    assert seen.form.fits("Otro pedido 9", f"{prefix}Otro pedido 9{suffix}")
    assert seen.doubt(ATTEMPT, frozenset(), SETTLE) is None


def test_words_that_one_control_row_lacks_are_not_learned() -> None:
    rows = [*with_words("ACME: ")[:-1], ROWS[-1]]
    assert reading(CONTROLS, rows).form is UNCHANGED_FORM
    assert doubt(CONTROLS, rows) is Doubt.TEXTS


def test_words_that_differ_from_row_to_row_are_not_learned() -> None:
    rows = [dataclasses.replace(each, text=f"{number}: {each.text}") for number, each in enumerate(ROWS)]
    assert reading(CONTROLS, rows).form is UNCHANGED_FORM
    assert doubt(CONTROLS, rows) is Doubt.TEXTS


def test_two_control_rows_teach_nothing() -> None:
    assert reading(CONTROLS[:2], with_words("ACME: ")[:2]).form is UNCHANGED_FORM


# --- Reasons


@pytest.mark.parametrize("each", list(Doubt))
def test_every_doubt_says_why_and_what_to_do_and_fits_its_column(each: Doubt) -> None:
    said = REASONS[each]
    assert reason(str(each)) is said
    assert len(each) <= 24
    assert len(said.why) + len(said.todo) <= 270
    assert not re.search("(raise|set|longer|above).*SETTLE", said.todo)


@pytest.mark.parametrize("code", [None, "", "of_a_newer_version"])
def test_a_code_that_is_not_known_has_no_reason(code: str | None) -> None:
    assert reason(code) is None


# --- Properties

_seconds = st.lists(st.integers(-4000, 690), unique=True, max_size=12)


@given(_seconds, st.data())
def test_whatever_is_left_out_absence_counts_only_where_nothing_needed_is_missing(
    seconds: list[int], data: st.DataObject
) -> None:
    controls = [control(each) for each in seconds]
    shown = [each for each in controls if data.draw(st.booleans())]
    said = doubt(controls, [row(each) for each in shown])
    if said is None:
        before = [each for each in shown if each.until <= ATTEMPT.since]
        after = [each for each in shown if each.since >= ATTEMPT.until]
        assert before
        assert after
        assert len(shown) >= LEAST_CONTROL_ROWS
        lost = [each for each in controls if each not in shown]
        assert not [each for each in lost if ATTEMPT.since <= each.until <= ATTEMPT.until + SETTLE]


@given(_seconds, st.sampled_from(sorted(ODD_FORMS)), st.data())
def test_whatever_comes_in_another_form_within_the_span_absence_never_counts(
    seconds: list[int], form: str, data: st.DataObject
) -> None:
    controls = [control(each) for each in seconds if each >= 0]
    if not controls:
        return
    changed = data.draw(st.sampled_from(controls))
    rows = [ODD_FORMS[form][1](row(each)) if each is changed else row(each) for each in controls]
    assert doubt([*CONTROLS[:3], *controls], [*ROWS[:3], *rows]) is not None


def test_a_form_shows_no_text_of_its_words() -> None:
    assert "ACME" not in repr(TextForm("ACME: ", ""))
