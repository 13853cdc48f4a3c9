"""The rule "absence must be earned" against the simulator's habits: nothing twice, nothing wrong, and why it waits.

Beside each other stand two attempts of unknown outcome: one that the provider accepted, and one that it never saw.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from smsclick.contract import State, messages
from smsclick.provider.results import Accepted
from smsclick.settings import load_settings
from smsclick.simulator import Fault, FaultKind
from tests.factories import LONG_AGO, PHONE
from tests.integration.workbench import KEY, SETTLE_SECONDS, Bench, bench
from worker.account import account_key
from worker.alerting import incidents
from worker.lifecycle.doubt import Doubt
from worker.reconciliation import control_queries, control_rows, lookup, reading
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS
from worker.reconciliation.span_plan import before_repeated_hour, is_repeated, plan_spans
from worker.reports import watermark
from worker.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER_KEY = "key-of-another-account"
TEXT = "Recordatorio: su cita es mañana a las 10"


@pytest.fixture(params=["sqlite", "postgres"])
def made(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench(request.getfixturevalue(f"migrated_{request.param}_url")) as running:
        yield running


@pytest.fixture
def light(migrated_sqlite_url: str) -> Iterator[Bench]:
    with bench(migrated_sqlite_url) as running:
        yield running


def lost(made: Bench, *, accepted: bool, **values: object) -> int:
    """A message whose worker was killed while its request was on its way."""
    [message_id] = made.enqueue(**values)
    [claim] = made.claim([message_id])
    if accepted:
        made.call(claim)
    made.lose()
    return message_id


def judge(made: Bench) -> tuple[Any, Any]:
    """What becomes of an accepted attempt and of one that was never seen, once their time is over."""
    for _ in range(LEAST_CONTROL_ROWS):
        made.witness()
        # The report's dates are whole seconds: which rows share one decides what a capped report shows of its end.
        made.age(2)
    seen, never = lost(made, accepted=True), lost(made, accepted=False)
    made.ripen()
    made.reconcile()
    return made.row(seen), made.row(never)


FOUND, WAITS, AGAIN = State.SENT, State.UNKNOWN, State.QUEUED

HABITS: dict[str, tuple[dict[str, Any], State, State, Doubt | None]] = {
    "as the manual says": ({}, FOUND, AGAIN, None),
    "a prefix": ({"text_prefix": "ACME: "}, FOUND, AGAIN, None),
    "a suffix": ({"text_suffix": " - ACME"}, FOUND, AGAIN, None),
    "a prefix and a suffix": ({"text_prefix": "[ACME] ", "text_suffix": " Alto=BAJA"}, FOUND, AGAIN, None),
    "a prefix and no accents": ({"text_prefix": "ACME: ", "text_form": "ascii"}, FOUND, AGAIN, None),
    "masked phones": ({"phone_mask": 6}, WAITS, WAITS, Doubt.PHONES),
    "a zone an hour to the east": ({"timezone": "America/Cancun"}, WAITS, WAITS, Doubt.DATES),
    "a zone to the west": ({"timezone": "America/Tijuana"}, WAITS, WAITS, Doubt.DATES),
    "a clock that is off": ({"date_shift": 600}, WAITS, WAITS, Doubt.DATES),
    "a cap that keeps the newest": ({"report_cap": 3}, FOUND, WAITS, Doubt.MISSING),
    "a cap that keeps the oldest": ({"report_cap": 3, "report_cap_first": "oldest"}, FOUND, WAITS, Doubt.CAPPED),
    "a report without some": ({"omit_rate": 0.999}, WAITS, WAITS, Doubt.MISSING),
    "an estatus outside the manual": ({"odd_form": "estatus"}, FOUND, AGAIN, None),
    "dates that nobody can read": ({"odd_form": "bad_date"}, WAITS, WAITS, Doubt.ODD),
    "rows of a panel to its phone without text": (
        {"odd_rows": ["null_text"], "others_phone": PHONE},
        FOUND,
        WAITS,
        Doubt.ODD,
    ),
    "rows of a panel to its phone with an odd estatus": (
        {"odd_rows": ["estatus"], "others_phone": PHONE},
        FOUND,
        WAITS,
        Doubt.ODD,
    ),
    "rows of a panel without phone": ({"odd_rows": ["null_phone"]}, FOUND, WAITS, Doubt.ODD),
    "rows of a panel to other phones": (
        {"odd_rows": ["null_text", "estatus", "bad_date", "null_date", "decimal_id"]},
        FOUND,
        AGAIN,
        None,
    ),
    "rows of a panel where phones are masked": (
        {"odd_rows": ["null_text"], "phone_mask": 6},
        WAITS,
        WAITS,
        Doubt.PHONES,
    ),
}


@pytest.mark.parametrize("habit", HABITS)
def test_no_habit_of_a_provider_sends_twice_and_what_cannot_be_decided_says_why(habit: str, light: Bench) -> None:
    settings, accepted, never_seen, doubt = HABITS[habit]
    light.simulator.set(**settings)
    seen, never = judge(light)
    assert (seen.state, never.state) == (accepted, never_seen)
    assert never.unknown_reason == (None if doubt is None else str(doubt))
    if seen.state == State.SENT:
        assert seen.id_mensaje == light.ledger()[0].id_mensaje


# --- Not only to now: late acceptance, caps behind the last control row


def test_what_a_gateway_accepts_minutes_after_it_gave_the_call_up_is_found_and_not_sent_again(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    made.simulator.faults([Fault(FaultKind.LATE_ACCEPTANCE, seconds=SETTLE_SECONDS * 0.9)])
    [message_id] = made.enqueue()
    made.send([message_id])
    made.simulator.faults()
    assert made.reconcile() == 0
    made.ripen()
    assert made.reconcile() == 1
    [entry] = made.ledger()
    row = made.row(message_id)
    assert (row.state, row.id_mensaje) == (State.SENT, entry.id_mensaje)
    assert abs(row.sent_at.timestamp() - entry.accepted_at) <= 1


def test_what_is_accepted_after_an_absence_is_found_when_the_second_attempt_is_unknown_too(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    made.simulator.faults([Fault(FaultKind.LATE_ACCEPTANCE, seconds=SETTLE_SECONDS * 1.5)])
    [message_id] = made.enqueue()
    made.send([message_id])
    made.simulator.faults()
    made.ripen()
    made.reconcile()
    assert made.row(message_id).state == State.QUEUED
    made.age(SETTLE_SECONDS)  # now it is accepted after all
    [claim] = made.claim([message_id])  # the second attempt, which never leaves
    assert claim.id == message_id
    made.lose()
    assert made.reconcile() == 1
    assert (made.row(message_id).id_mensaje, len(made.ledger())) == (made.ledger()[0].id_mensaje, 1)


def test_a_cap_behind_the_last_control_row_is_noticed(light: Bench) -> None:
    light.witness(LEAST_CONTROL_ROWS)
    lost(light, accepted=False)
    light.ripen()
    for number in range(8):  # a campaign of the panel, behind which an acceptance would not show
        light.runtime.client.send(PHONE, f"campaña {number}")
    light.simulator.set(report_cap=6, report_cap_first="oldest")
    light.reconcile()
    [row] = light.rows()
    assert (row.state, row.unknown_reason) == (State.UNKNOWN, Doubt.CAPPED)
    light.simulator.set(report_cap=None)
    light.reconcile()
    assert light.states() == [State.QUEUED]


# --- Quiet hours, the account, twice at most


def test_without_control_rows_it_waits_for_some(made: Bench) -> None:
    message_id = lost(made, accepted=False)
    made.age()
    made.reconcile()
    assert (made.row(message_id).state, made.row(message_id).unknown_reason) == (State.UNKNOWN, Doubt.NO_CONTROLS)
    made.witness(LEAST_CONTROL_ROWS)
    made.reconcile()
    assert made.row(message_id).state == State.UNKNOWN, "none of them was accepted before it"


def test_control_rows_of_the_same_instant_as_before_it_are_enough_once_one_comes_behind(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    message_id = lost(made, accepted=False)
    made.age()
    made.reconcile()
    assert made.row(message_id).unknown_reason == Doubt.NO_CONTROLS
    made.witness()
    made.reconcile()
    assert made.row(message_id).state == State.QUEUED


def test_while_report_lag_is_open_no_attempt_is_absent(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    message_id = lost(made, accepted=False)
    made.ripen()
    with made.database.begin() as connection:
        incidents.report(connection, "report_lag")
    made.reconcile()
    assert made.row(message_id).unknown_reason == Doubt.LAG
    with made.database.begin() as connection:
        incidents.close(connection, "report_lag")
    made.reconcile()
    assert made.row(message_id).state == State.QUEUED


def with_key(made: Bench, key: str) -> Bench:
    """The same worker after a restart with another key."""
    url = made.database.engine.url.render_as_string(hide_password=False)
    settings = {"DATABASE_URL": url, "SMSCLICK_API_KEY": key, "SMSCLICK_BASE_URL": made.simulator.base_url}
    given = load_settings(**settings, SMSCLICK_SETTLE_SECONDS=SETTLE_SECONDS)
    return Bench(Runtime.start(given, made.wakeups, calls=4), made.simulator, made.wakeups)


def test_under_another_key_nothing_is_concluded_until_the_old_one_is_back(made: Bench) -> None:
    made.simulator.set(other_keys=[OTHER_KEY])
    made.witness(LEAST_CONTROL_ROWS)
    seen, never = lost(made, accepted=True), lost(made, accepted=False)
    made.ripen()
    other = with_key(made, OTHER_KEY)
    other.witness(LEAST_CONTROL_ROWS)
    other.reconcile()
    assert {row.unknown_reason for row in made.rows()} == {Doubt.ACCOUNT}
    assert {row.state for row in made.rows()} == {State.UNKNOWN}
    other.runtime.close()
    made.reconcile()
    assert (made.row(seen).state, made.row(never).state) == (State.SENT, State.QUEUED)


NEW_KEY = "new-key-of-the-same-account"


def test_under_a_new_key_of_the_same_account_attempts_between_control_rows_of_the_old_key_are_reconciled(
    made: Bench,
) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    seen, never = lost(made, accepted=True), lost(made, accepted=False)
    made.witness()
    behind = lost(made, accepted=False)  # nothing was accepted under the old key after it
    made.simulator.set(api_key=NEW_KEY)
    other = with_key(made, NEW_KEY)
    other.reconcile()
    assert {row.unknown_reason for row in made.rows()} == {Doubt.ACCOUNT}, "younger than SETTLE"
    other.ripen()
    other.reconcile()
    assert (made.row(seen).state, made.row(seen).id_mensaje) == (
        State.SENT,
        made.ledger()[0].id_mensaje,
    )
    assert made.row(never).state == State.QUEUED
    assert (made.row(behind).state, made.row(behind).unknown_reason) == (State.UNKNOWN, Doubt.ACCOUNT)
    other.runtime.close()


def test_a_row_of_another_account_is_no_attempt_of_ours_however_equal(made: Bench) -> None:
    made.simulator.set(other_keys=[OTHER_KEY])
    made.witness(LEAST_CONTROL_ROWS)
    message_id = lost(made, accepted=False, text=TEXT)
    made.witness()
    other = with_key(made, OTHER_KEY)
    other.runtime.client.send(PHONE, TEXT)
    other.ripen()
    other.reconcile()
    assert (made.row(message_id).state, made.row(message_id).unknown_reason) == (State.UNKNOWN, Doubt.ACCOUNT)
    other.runtime.close()


@pytest.mark.parametrize("missing", range(LEAST_CONTROL_ROWS + 1))
def test_one_message_of_the_old_key_that_the_report_of_the_new_key_lacks_proves_another_account(
    missing: int, light: Bench
) -> None:
    light.witness(LEAST_CONTROL_ROWS)
    seen = lost(light, accepted=True)
    light.witness()
    light.simulator.set(api_key=NEW_KEY)
    other = with_key(light, NEW_KEY)
    other.ripen()
    controls = [row for row in light._all() if row.account_fingerprint == light.runtime.account and row.sent_at]
    with light.database.begin() as connection:  # as if the provider had given it to another account
        query = sa.update(messages).where(messages.c.id == controls[missing].id)
        connection.execute(query.values(id_mensaje=controls[missing].id_mensaje - 10**6))
    other.reconcile()
    assert (light.row(seen).state, light.row(seen).unknown_reason) == (State.UNKNOWN, Doubt.ACCOUNT)
    other.runtime.close()


def test_the_fingerprint_of_an_account_is_the_same_everywhere_and_not_its_key(light: Bench) -> None:
    lost(light, accepted=False)
    [row] = light.rows()
    assert row.account_fingerprint == light.runtime.account == account_key.fingerprint(KEY)
    assert account_key.fingerprint(OTHER_KEY) != row.account_fingerprint
    assert len(row.account_fingerprint) == 16
    assert KEY not in str(row)


def test_an_attempt_of_before_the_upgrade_is_found_but_never_absent(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    seen, never = lost(made, accepted=True), lost(made, accepted=False)
    made.change(State.UNKNOWN, account_fingerprint=None)
    made.ripen()
    made.reconcile()
    assert made.row(seen).state == State.SENT
    assert (made.row(never).state, made.row(never).unknown_reason) == (State.UNKNOWN, Doubt.ACCOUNT)


def test_the_same_message_is_absent_twice_at_most_and_then_a_person_decides(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    [message_id] = made.enqueue()
    for attempt in (1, 2, 3):
        [claim] = made.claim([message_id])
        assert claim.id == message_id
        made.lose()
        made.ripen()
        made.reconcile()
        assert made.row(message_id).attempts == attempt
    row = made.row(message_id)
    assert (row.state, row.absences, row.unknown_reason) == (State.UNKNOWN, 2, Doubt.TWICE)


def test_one_that_was_absent_twice_is_still_found_when_the_report_has_it(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    message_id = lost(made, accepted=True)
    made.change(State.UNKNOWN, absences=2)
    made.reconcile()
    assert made.row(message_id).state == State.SENT


# --- Whose row it is


def test_a_row_of_others_from_before_the_attempt_is_not_it(made: Bench) -> None:
    made.runtime.client.send(PHONE, TEXT)
    made.age(300)
    made.witness(LEAST_CONTROL_ROWS)
    message_id = lost(made, accepted=False, text=TEXT)
    made.ripen()
    made.reconcile()
    assert (made.row(message_id).state, made.row(message_id).id_mensaje) == (State.QUEUED, None)


def test_a_later_message_of_equal_phone_and_text_is_not_the_unknown(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    [claim] = made.claim(made.enqueue(text=TEXT))
    made.lose()
    made.ripen()
    [other] = made.enqueue(text=TEXT)
    [answered] = made.enqueue(text="another text", state=State.SENT, due_at=None)
    own = made.runtime.client.send(PHONE, TEXT)
    assert isinstance(own, Accepted)
    made.change(State.SENT, due_at=None)
    with made.database.begin() as connection:
        connection.execute(sa.update(messages).where(messages.c.id == answered).values(id_mensaje=own.id_mensaje))
    made.reconcile()
    assert made.row(claim.id).state == State.QUEUED
    assert made.row(other).state == State.QUEUED


# --- Reports that are large, or that an attempt is too old for


def test_what_is_older_than_one_pass_can_read_is_only_looked_for_around_its_own_time(light: Bench) -> None:
    light.witness(LEAST_CONTROL_ROWS)
    seen, never = lost(light, accepted=True), lost(light, accepted=False)
    light.age(reading.MOST_REPORTS_PER_PASS * 600 + SETTLE_SECONDS)
    light.witness()
    light.reconcile()
    assert light.row(seen).state == State.SENT
    assert (light.row(never).state, light.row(never).unknown_reason) == (State.UNKNOWN, Doubt.TOO_LONG)


@pytest.mark.parametrize("density", [40.0, 400.0])
def test_however_many_slices_a_pass_has_it_comes_to_the_same(density: float, light: Bench) -> None:
    with light.database.begin() as connection:
        watermark.record_density(connection, reading.WATERMARK, int(density * 60), dt.timedelta(minutes=1))
    seen, never = judge(light)
    assert (seen.state, never.state) == (State.SENT, State.QUEUED)


def test_after_a_large_pass_the_next_one_waits_so_that_sending_is_not_held_up(light: Bench) -> None:
    light.database.transact(lambda connection: lookup.pause(connection, 10 * lookup.ROWS_WITHOUT_PAUSE))
    seen, never = judge(light)
    assert (seen.state, never.state) == (State.UNKNOWN, State.UNKNOWN)
    assert "report" not in light.simulator.stats().requests
    wait = (never.due_at - light.database.clock()).total_seconds()
    assert 0 < wait < 60
    with light.database.begin() as connection:
        watermark.update(connection, lookup.WATERMARK, due_at=LONG_AGO)
    light.reconcile()
    assert light.states() == [State.SENT, State.QUEUED]


def test_a_pass_that_breaks_off_concludes_nothing_at_all(light: Bench) -> None:
    light.witness(LEAST_CONTROL_ROWS)
    lost(light, accepted=True)
    lost(light, accepted=False)
    light.ripen()
    light.simulator.faults([Fault(FaultKind.CUT, endpoints=("report",))])
    light.reconcile()
    assert [(row.state, row.unknown_reason) for row in light.rows()] == [(State.UNKNOWN, Doubt.NO_REPORT)] * 2


def test_what_stays_open_is_looked_for_more_and_more_rarely(light: Bench) -> None:
    message_id = lost(light, accepted=False)
    waits = []
    for _ in range(4):
        light.age(SETTLE_SECONDS * 20)
        light.reconcile()
        row = light.row(message_id)
        waits.append((row.due_at - light.database.clock()).total_seconds())
    assert waits == sorted(waits)
    assert SETTLE_SECONDS / 2 < waits[0] < waits[-1] < 2000
    light.change(State.UNKNOWN, due_at=LONG_AGO)


def test_controls_are_only_what_the_answers_of_this_account_say(light: Bench) -> None:
    light.witness(LEAST_CONTROL_ROWS)
    begin = light.database.clock() - dt.timedelta(minutes=5)
    end = light.database.clock()

    def controls() -> list[control_rows.Control]:
        with light.database.read() as connection:
            return control_queries.controls_within(connection, begin, end, light.runtime.account)

    assert [each.witness for each in controls()] == [True] * LEAST_CONTROL_ROWS
    light.change(State.SENT, id_source="report")
    assert [each.witness for each in controls()] == [False] * LEAST_CONTROL_ROWS
    light.change(State.SENT, id_source="person")
    assert controls() == []
    light.change(State.SENT, id_source=None, account_fingerprint="another")
    assert controls() == []


def test_a_date_in_the_hour_that_is_shown_twice_makes_the_end_of_a_pass_unsure() -> None:
    tijuana, hour = ZoneInfo("America/Tijuana"), dt.timedelta(hours=1)
    first = dt.datetime(2026, 11, 1, 8, 30, tzinfo=dt.UTC)
    assert [is_repeated(first + hour * number, tijuana) for number in (-1, 0, 1, 2)] == [False, True, True, False]
    assert before_repeated_hour(first + hour, tijuana) == first - hour
    begin, end = first - 3 * hour, first + 3 * hour
    for start, stop in plan_spans(begin, end, dt.timedelta(minutes=10), [], tijuana):
        assert start == begin or not is_repeated(start, tijuana)
        assert stop == end or not is_repeated(stop, tijuana)


def test_the_newest_control_row_is_kept_however_many_rows_a_span_has(light: Bench) -> None:
    """One row of the span is no control row; where rows are left out for their number, the newest must not be."""
    begin = LONG_AGO
    count = control_queries.MOST_CONTROLS + 2
    end = begin + dt.timedelta(seconds=count)
    mine = account_key.fingerprint(KEY)
    with light.database.begin() as connection:
        connection.execute(
            sa.insert(messages),
            [
                {
                    "key": f"k{n}",
                    "phone": PHONE,
                    "text": f"{TEXT} {n}",
                    "state": State.SENT,
                    "id_mensaje": n + 1,
                    "attempts": 1,
                    "attempted_at": begin + dt.timedelta(seconds=n) - dt.timedelta(seconds=not n),
                    "sent_at": begin + dt.timedelta(seconds=n),
                    "account_fingerprint": mine,
                }
                for n in range(count)
            ],
        )
        found = control_queries.controls_within(connection, begin, end, mine)
    assert max(control.id_mensaje for control in found) == count
