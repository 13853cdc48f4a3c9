"""What a message waits for and until when: each case made by the functions of production, and said in words."""

from __future__ import annotations

import datetime as dt
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from smsclick._values.causes import PHRASES, Cause
from smsclick.contract import Priority, State, callbacks, events, heartbeats, limits
from smsclick.provider.codes import Action
from smsclick.provider.results import Refused
from smsclick.settings import load_settings
from smsclick.simulator import Fault, FaultKind
from tests.factories import LONG_AGO, PHONE
from tests.integration.workbench import Bench, bench
from worker.account import holds
from worker.account.holds import MOST_FAILURES
from worker.account.rate_limit import SharedLimiter
from worker.alerting.wording import DetailCode
from worker.callbacks import policy, store
from worker.callbacks.call import GivenUp, NotAcknowledged
from worker.callbacks.failures import Failure
from worker.lifecycle.doubt import Doubt
from worker.lifecycle.policy import Invalid
from worker.maintenance import balance
from worker.monitoring.progress_checks import SWEEP
from worker.operator import account, message_changes, message_history
from worker.operator.waiting import english, spanish
from worker.operator.waiting.codes import Code, Remedy, Waiting
from worker.operator.waiting.facts import NO_LIMITS, Limits
from worker.queue import claims, optouts
from worker.restore import recovery
from worker.sql import heartbeat
from worker.sql.now import database_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.operator.message_history import MessageHistory

BAD_KEY = Refused(-101, "APIKEY incorrecta", Action.HOLD_KEY, "the APIKEY is wrong")
HOUR = dt.timedelta(hours=1)
LIMITED = load_settings(SMSCLICK_MAX_PER_SECOND=2)


@pytest.fixture
def made(migrated_sqlite_url: str) -> Iterator[Bench]:
    """A worker on SQLite, with a live heartbeat of a worker and of the sweep."""
    with bench(migrated_sqlite_url) as running:
        alive(running)
        yield running


def alive(made: Bench) -> None:
    heartbeat.beat(made.database, "worker:host:1", 1)
    heartbeat.beat(made.database, SWEEP, 1)


def read(made: Bench, message_id: int, limits_of: Limits | None = None) -> MessageHistory:
    given = Limits.of(made.runtime.settings) if limits_of is None else limits_of
    return message_history.read(made.database, f"id:{message_id}", limits=given)


def codes(made: Bench, message_id: int, limits_of: Limits | None = None) -> list[Code]:
    return [each.code for each in read(made, message_id, limits_of).waiting]


def add_event(made: Bench, message_id: int, **values: object) -> None:
    """Add an event that is like the message's latest one but for these values."""
    with made.database.begin() as connection:
        query = sa.select(events).where(events.c.message_id == message_id).order_by(events.c.id.desc()).limit(1)
        latest = dict(connection.execute(query).mappings().one())
        connection.execute(sa.insert(events).values({**latest, "id": latest["id"] + 1, **values}))


def refused(made: Bench, answer: Refused) -> int:
    """A message whose call was refused for the account's sake: it waits again, and the account is held."""
    [message_id] = made.enqueue()
    [claim] = made.claim([message_id])
    made.record(claim, answer)
    return message_id


def unknown(made: Bench) -> int:
    """A message whose worker was killed while its request was in flight."""
    [message_id] = made.enqueue()
    assert made.claim([message_id])
    made.lose()
    return message_id


def accepted(made: Bench, **values: object) -> int:
    """A message that was sent to the simulator, which accepts it while there is balance."""
    [message_id] = made.enqueue(**values)
    [claim] = made.claim([message_id])
    made.record(claim, made.call(claim))
    return message_id


# --- Queued


def test_a_message_for_later_waits_for_its_own_time(made: Bench) -> None:
    at = made.database.clock() + HOUR
    [message_id] = made.enqueue(send_at=at, due_at=at)
    found = read(made, message_id)
    assert [each.code for each in found.waiting] == [Code.SEND_AT]
    assert found.waiting[0].until == at
    assert re.fullmatch(r"It waits for its own time and is sent in (1 h|59 min \d+ s) \(.* UTC\)\.", found.next)


def test_a_due_message_is_the_next_in_line(made: Bench) -> None:
    [message_id] = made.enqueue()
    assert read(made, message_id).next == "It is sent as soon as a worker is free: it is the next in line."


def test_a_message_behind_others_says_how_many_go_before_it(made: Bench) -> None:
    made.enqueue(2, priority=Priority.HIGH, due_at=LONG_AGO + HOUR)
    made.enqueue(1)
    made.enqueue(1, due_at=LONG_AGO + 2 * HOUR)
    [message_id] = made.enqueue(due_at=LONG_AGO + HOUR)
    made.enqueue(1, priority=Priority.LOW)
    found = read(made, message_id)
    assert [(each.code, each.data["ahead"]) for each in found.waiting] == [(Code.IN_LINE, "3")]


def test_a_low_message_waits_for_the_end_of_the_quiet_hours(migrated_sqlite_url: str) -> None:
    here = dt.datetime.now(ZoneInfo("America/Mexico_City"))  # where the phone's area code is
    quiet = f"{here - HOUR:%H:%M}-{here + 2 * HOUR:%H:%M}"
    with bench(migrated_sqlite_url, SMSCLICK_QUIET_HOURS=quiet) as made:
        alive(made)
        [message_id] = made.enqueue(priority=Priority.LOW)
        before = read(made, message_id).waiting
        assert made.claim([message_id]) == []
        due = made.row(message_id).due_at
        assert before == [Waiting(Code.QUIET_HOURS, due)]
        assert read(made, message_id).waiting == [Waiting(Code.QUIET_HOURS, due)]
        # Without the settings the latest event says so.
        assert codes(made, message_id, NO_LIMITS) == [Code.QUIET_HOURS]
        assert codes(made, made.enqueue()[0]) == [Code.NEXT]


def test_without_balance_it_waits_for_the_next_look_at_the_balance(made: Bench) -> None:
    made.simulator.set(balance=0)
    message_id = accepted(made)
    [waiting] = read(made, message_id).waiting
    assert waiting.code is Code.HOLD_NO_BALANCE
    assert waiting.until is not None
    assert waiting.until >= made.account_state().hold_since  # type: ignore[operator]
    assert "-104" in read(made, message_id).next


def test_with_a_refused_key_it_waits_for_the_key(made: Bench) -> None:
    assert codes(made, refused(made, BAD_KEY)) == [Code.HOLD_KEY_REFUSED]


def test_an_operators_hold_says_whose_it_is(made: Bench) -> None:
    [message_id] = made.enqueue()
    account.hold(made.database, actor="ana")
    found = read(made, message_id)
    assert [each.code for each in found.waiting] == [Code.HOLD_OPERATOR]
    assert "held by an operator (ana)" in found.next


def test_while_the_provider_is_down_it_waits_for_the_provider(made: Bench) -> None:
    made.simulator.faults([Fault(kind=FaultKind.HTTP_503_BEFORE)])
    ids = made.enqueue(MOST_FAILURES)
    for message_id in ids:
        [claim] = made.claim([message_id])
        made.record(claim, made.call(claim))
    [behind] = made.enqueue()
    assert codes(made, behind) == [Code.HOLD_PROVIDER_DOWN]


def test_the_canary_and_those_behind_it_know_of_each_other(made: Bench) -> None:
    canary = refused(made, BAD_KEY)
    [behind] = made.enqueue(due_at=made.database.clock())
    made.change_account(probe_at=LONG_AGO)
    assert balance.check(made.runtime) is not None
    found = read(made, canary)
    assert [each.code for each in found.waiting] == [Code.CANARY]
    assert found.waiting[0].until == made.account_state().canary_until
    later = read(made, behind)
    assert [each.code for each in later.waiting] == [Code.HOLD_KEY_REFUSED, Code.CANARY_ELSEWHERE]
    assert f"Message {canary} is being tried" in later.next


def test_behind_the_limit_it_says_about_when_it_goes(made: Bench) -> None:
    made.enqueue(10)
    [message_id] = made.enqueue(due_at=LONG_AGO + HOUR)
    found = read(made, message_id, Limits.of(LIMITED))
    [waiting] = found.waiting
    assert (waiting.code, waiting.data["ahead"], waiting.data["per_second"]) == (Code.RATE_LIMIT, "10", "2")
    assert waiting.until == found.now + dt.timedelta(seconds=5)


def test_behind_the_limit_it_waits_for_the_slots_that_are_given_out(made: Bench) -> None:
    limiter = SharedLimiter(made.database, 2)
    given = made.database.transact(limiter._take)
    assert given
    with made.database.begin() as connection:
        ahead = int((database_now(connection) + HOUR).timestamp() * 1e6)
        connection.execute(sa.update(limits).values(next_at=ahead))
    [message_id] = made.enqueue()
    [waiting] = read(made, message_id, Limits.of(LIMITED)).waiting
    assert waiting.code is Code.RATE_LIMIT


def test_a_duplicate_names_the_message_in_flight(made: Bench) -> None:
    [flying] = made.enqueue(text="igual")
    assert made.claim([flying])
    [parked] = made.enqueue(text="igual")
    assert made.claim([parked]) == []
    found = read(made, parked)
    assert [each.code for each in found.waiting] == [Code.DUPLICATE]
    assert f"message {flying}, which is in flight" in found.next


def test_a_phone_that_opted_out_will_fail_and_then_has_failed(made: Bench) -> None:
    optouts.add(made.database, [PHONE], actor="ana")
    [message_id] = made.enqueue()
    assert codes(made, message_id) == [Code.OPTED_OUT]
    made.send([message_id])
    assert codes(made, message_id) == [Code.FAILED_OPTED_OUT]
    add_event(made, message_id, from_state=State.FAILED, cause=Cause.LATE_ANSWER)
    assert codes(made, message_id) == [Code.FAILED_OPTED_OUT]


def test_the_cause_of_a_failure_says_whether_its_phone_opted_out_and_not_the_words(made: Bench) -> None:
    [message_id] = made.enqueue()
    [claim] = made.claim([message_id])
    made.record(claim, Invalid(PHRASES[Cause.OPTED_OUT]))
    assert codes(made, message_id) == [Code.FAILED_OPTED_OUT], "this is how earlier releases stored it"
    add_event(made, message_id, cause=Cause.ANSWERED)
    assert codes(made, message_id) == [Code.FAILED]


def test_a_message_refused_for_now_waits_for_its_next_try(made: Bench) -> None:
    [message_id] = made.enqueue()
    [claim] = made.claim([message_id])
    made.record(claim, Refused(-999, "Intente más tarde", Action.RETRY, "not listed"))
    [waiting] = read(made, message_id).waiting
    assert (waiting.code, waiting.until, waiting.data["code"]) == (Code.RETRY, made.row(message_id).due_at, "-999")


def test_its_validity_is_named_while_it_waits_and_when_it_is_over(made: Bench) -> None:
    at = made.database.clock() + HOUR
    [message_id, over] = made.enqueue(1, expires_at=at) + made.enqueue(1, expires_at=LONG_AGO + HOUR)
    assert codes(made, message_id) == [Code.NEXT, Code.VALIDITY_ENDS]
    assert codes(made, over) == [Code.VALIDITY_OVER]
    assert made.database.transact(lambda connection: claims.expire(connection, 10)) == 1
    assert codes(made, over) == [Code.EXPIRED]


def test_without_a_worker_it_says_so(made: Bench) -> None:
    [due] = made.enqueue()
    later = made.enqueue(send_at=made.database.clock() + HOUR, due_at=made.database.clock() + HOUR)[0]
    with made.database.begin() as connection:
        connection.execute(sa.update(heartbeats).values(at=LONG_AGO))
    assert codes(made, due) == [Code.NO_WORKER]
    assert codes(made, later) == [Code.SEND_AT, Code.NO_WORKER]


def test_a_restored_backup_holds_what_waits_until_it_is_reconciled(made: Bench) -> None:
    made.database.transact(lambda connection: holds.hold_restored(connection, made.database.clock()))
    [message_id] = made.enqueue()
    assert codes(made, message_id) == [Code.HOLD_RESTORE_UNFINISHED]
    since = made.database.clock()
    recovery.recover(made.database, since, made.runtime.account, actor="ana")
    assert codes(made, message_id)[0] is Code.UNKNOWN
    [later] = made.enqueue()
    assert codes(made, later) == [Code.HOLD_RESTORED]


def test_what_ends_last_is_said_first(made: Bench) -> None:
    at = made.database.clock() + HOUR
    [later] = made.enqueue(send_at=at, due_at=at)
    [flying] = made.enqueue(text="igual")
    assert made.claim([flying])
    [parked] = made.enqueue(text="igual")
    assert made.claim([parked]) == []
    account.hold(made.database, actor="ana")
    assert codes(made, later) == [Code.SEND_AT, Code.HOLD_OPERATOR]
    assert codes(made, parked) == [Code.HOLD_OPERATOR, Code.DUPLICATE]


# --- In flight, unknown


def test_while_it_is_sent_the_lease_says_until_when(made: Bench) -> None:
    [message_id] = made.enqueue()
    [_] = made.claim([message_id])
    [waiting] = read(made, message_id).waiting
    assert (waiting.code, waiting.until) == (Code.SENDING, made.row(message_id).lease_until)
    made.change(State.SENDING, lease_until=LONG_AGO, due_at=LONG_AGO)
    assert codes(made, message_id) == [Code.LEASE_OVER]


def test_an_unknown_attempt_says_why_and_when_the_report_is_read(made: Bench) -> None:
    message_id = unknown(made)
    made.age()
    made.reconcile()
    row = made.row(message_id)
    assert row.unknown_reason == Doubt.NO_CONTROLS
    found = read(made, message_id)
    assert [(each.code, each.until) for each in found.waiting] == [(Code.UNKNOWN, row.due_at)]
    assert "no control rows" in found.next


@pytest.mark.parametrize("doubt", list(Doubt))
def test_each_reason_of_an_unknown_attempt_is_said_in_both_languages(made: Bench, doubt: Doubt) -> None:
    message_id = unknown(made)
    made.change(State.UNKNOWN, unknown_reason=doubt)
    assert english.WHY[doubt].format(**english.REMEDIES) in read(made, message_id).next
    said = message_history.read(made.database, f"id:{message_id}", language="es").next
    assert spanish.WHY[doubt].format(**spanish.REMEDIES) in said


def test_what_only_a_person_can_decide_says_so(made: Bench) -> None:
    message_id = unknown(made)
    made.change(State.UNKNOWN, due_at=None)
    assert codes(made, message_id) == [Code.UNKNOWN_PERSON]


def test_without_a_sweep_nobody_looks_at_an_unknown_attempt(made: Bench) -> None:
    message_id = unknown(made)
    with made.database.begin() as connection:
        connection.execute(sa.update(heartbeats).values(at=LONG_AGO))
    assert codes(made, message_id) == [Code.UNKNOWN, Code.NO_SWEEP]


# --- Accepted, final


def test_an_accepted_message_waits_for_its_next_status_check(made: Bench) -> None:
    message_id = accepted(made)
    [waiting] = read(made, message_id).waiting
    assert (waiting.code, waiting.until) == (Code.SENT, made.row(message_id).due_at)


def test_final_messages_say_that_nothing_more_happens(made: Bench) -> None:
    cancelled, failed = made.enqueue(2)
    list(message_changes.cancel(made.database, [f"id:{cancelled}"], actor="ana"))
    [claim] = made.claim([failed])
    made.record(claim, Refused(-102, "Teléfono inválido", Action.FAIL, "invalid"))
    delivered = accepted(made, callback=None)
    made.live(rounds=2)
    assert made.row(delivered).state == State.DELIVERED
    assert codes(made, cancelled) == [Code.CANCELLED]
    assert codes(made, failed) == [Code.FAILED]
    assert "-102" in read(made, failed).next
    assert codes(made, delivered)[0] in {Code.DELIVERED, Code.REPLY}
    made.change(State.DELIVERED, due_at=None)
    assert codes(made, delivered) == [Code.DELIVERED]


@pytest.mark.parametrize(
    ("state", "due", "code"),
    [
        (State.DELIVERED, 1, Code.REPLY),
        (State.REJECTED, None, Code.REJECTED),
        (State.UNDETERMINED, 1, Code.LATE_STATUS),
        (State.UNDETERMINED, None, Code.UNDETERMINED),
    ],
)
def test_what_the_provider_said_last_is_final_or_checked_again(
    made: Bench, state: State, due: int | None, code: Code
) -> None:
    message_id = accepted(made)
    now = made.database.clock()
    made.change(State.SENT, state=state, due_at=None if due is None else now + due * HOUR, final_at=now)
    assert codes(made, message_id) == [code]


def test_an_erased_message_says_when(made: Bench) -> None:
    [message_id] = made.enqueue()
    list(message_changes.cancel(made.database, [f"id:{message_id}"], actor="ana"))
    made.change(State.CANCELLED, phone="", text="", erased_at=made.database.clock())
    assert codes(made, message_id) == [Code.CANCELLED, Code.ERASED]


def test_a_callback_that_waits_and_one_that_was_given_up_are_named(made: Bench) -> None:
    message_id = accepted(made, callback="https://shop.example/hook")
    [_, pending] = read(made, message_id).waiting
    assert (pending.code, pending.data["receiver"]) == (Code.CALLBACK_PENDING, "shop.example")
    for outcome, code in (
        (NotAcknowledged(Failure.of(DetailCode.CALL_STATUS, status=500)), Code.CALLBACK_PENDING),
        (GivenUp(Failure.of(DetailCode.CALL_GONE)), Code.CALLBACK_GIVEN_UP),
    ):
        with made.database.begin() as connection:
            connection.execute(sa.update(callbacks).values(due_at=LONG_AGO))
        calls, _more = made.database.transact(lambda connection: store.claim(connection, "shop.example", 10))
        ended = [policy.ended(each, outcome, random.Random(0)) for each in calls]
        made.database.transact(lambda connection, ended=ended: store.record(connection, ended))  # type: ignore[misc]
        assert codes(made, message_id) == [Code.SENT, code]
    assert "shop.example was given up" in read(made, message_id).next


# --- Words


def test_both_catalogues_have_each_case_with_the_same_placeholders() -> None:
    names = re.compile(r"\{(\w+)\}")
    pairs = (
        (dict(english.SENTENCES), dict(spanish.SENTENCES)),
        (dict(english.PHRASES), dict(spanish.PHRASES)),
        (dict(english.WHY), dict(spanish.WHY)),
    )
    for here, there in pairs:
        assert here.keys() == there.keys()
        for name, words in here.items():
            assert sorted(names.findall(words)) == sorted(names.findall(there[name])), name  # type: ignore[index]
    assert set(english.SENTENCES) == set(Code)
    assert set(english.WHY) == set(spanish.WHY) == set(Doubt)
    assert set(english.REMEDIES) == set(spanish.REMEDIES) == set(Remedy)


def test_the_manual_has_a_line_for_each_case() -> None:
    page = (Path(__file__).parents[2] / "docs" / "waiting.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert listed == list(Code)


def test_every_case_has_a_test_here() -> None:
    text = Path(__file__).read_text()
    missing = [code.name for code in Code if f"Code.{code.name}" not in text]
    assert missing == []


def test_an_odd_row_says_why_it_is_odd(made: Bench) -> None:
    [message_id] = made.enqueue()
    made.database.dispose()
    with made.database.begin() as connection:
        connection.execute(sa.text("PRAGMA ignore_check_constraints = 1"))
        connection.execute(sa.text("UPDATE smsclick_messages SET priority = 7 WHERE id = :id"), {"id": message_id})
    assert codes(made, message_id) == [Code.ODD]
