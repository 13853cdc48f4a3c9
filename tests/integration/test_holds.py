"""The account's hold: it begins once, is probed, a canary ends it, and the operator's own hold is independent of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import Priority, State, accounts, incidents, messages
from smsclick.provider.codes import Action
from smsclick.provider.results import Accepted, Refused, Unknown
from smsclick.simulator import Fault, FaultKind
from tests import one_sender
from tests.factories import (
    LONG_AGO,
    POLICY,
    RecordingWakeups,
    alert_events,
    change,
    change_account,
    clock,
    insert,
    row,
    settings,
    states,
)
from worker.account import account_state, holds
from worker.account.holds import MOST_FAILURES, count_failures
from worker.lifecycle.attempt import Ended
from worker.lifecycle.fingerprint import wire_key
from worker.lifecycle.policy import Released
from worker.maintenance import balance
from worker.queue import claims
from worker.sending import attempts
from worker.sending.results import record_results
from worker.tracking import by_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from smsclick._database.engine import Database
    from smsclick.simulator import Simulator
    from tests.integration.conftest import MakeRuntime
    from worker.account.account_state import AccountState
    from worker.lifecycle.attempt import Claim
    from worker.lifecycle.policy import Outcome
    from worker.runtime import Runtime

SETTINGS = settings("sqlite:///never-opened.db")
NO_BALANCE = Refused(-104, "Saldo insuficiente", Action.HOLD_NO_BALANCE, "no balance")
BAD_KEY = Refused(-101, "APIKEY incorrecta", Action.HOLD_KEY, "the APIKEY is wrong")
ENDED = [("no_balance", "opened"), ("no_balance", "closed")]
RNG = random.Random(0)


def read(database: Database) -> AccountState:
    with database.read() as connection:
        return account_state.read(connection)


def claim(database: Database, count: int = 1, text: str = "x") -> list[Claim]:
    insert(database, count, text=text)
    return database.transact(lambda connection: claims.claim(connection, None, count, POLICY))


def refuse(database: Database, group: list[Claim], epoch: int, refused: Refused = NO_BALANCE) -> None:
    ended = [Ended(each, refused, epoch) for each in group]
    database.transact(lambda connection: record_results(connection, ended, SETTINGS, RNG))


def probe(runtime: Runtime) -> int | None:
    """A probe whose time has come."""
    change_account(runtime.database, probe_at=LONG_AGO)
    return balance.check(runtime)


def release(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    """A probe, and the canary that it lets go, if any."""
    wakeups.sends.clear()
    probe(runtime)
    for ids in wakeups.sends:
        one_sender.send(runtime, ids)


# --- Closing


def test_many_refusals_begin_one_hold_with_one_incident(database: Database) -> None:
    for _ in range(3):
        refuse(database, claim(database, 5), epoch=0)
    found = read(database)
    assert (found.hold_reason, found.epoch, found.is_open, found.allowed_canary) == ("no_balance", 0, False, None)
    assert alert_events(database) == [("no_balance", "opened")]
    assert states(database) == ["queued"] * 15


def test_the_refused_wait_with_the_code_and_lose_no_attempt(database: Database) -> None:
    [only] = claim(database)
    refuse(database, [only], epoch=0)
    found = row(database, only.id)
    assert (found.state, found.attempts, found.last_code, found.last_error) == ("queued", 0, -104, "Saldo insuficiente")
    assert found.due_at is not None


def test_an_answer_from_before_the_last_reopening_closes_nothing(database: Database) -> None:
    group = claim(database, 2)
    change_account(database, epoch=3)
    refuse(database, group[:1], epoch=2)
    assert read(database).is_open
    refuse(database, group[1:], epoch=3)
    assert not read(database).is_open


def test_the_hold_keeps_the_credits_of_the_smallest_refused_message(database: Database) -> None:
    refuse(database, [*claim(database, text="x" * 451), *claim(database, text="x" * 301)], epoch=0)
    assert read(database).needed_credits == 3
    refuse(database, claim(database, text="x" * 151), epoch=0)
    assert read(database).needed_credits == 2
    refuse(database, claim(database, text="x" * 451), epoch=0)
    assert read(database).needed_credits == 2


def test_a_key_that_is_refused_while_there_is_no_balance_takes_its_place(database: Database) -> None:
    refuse(database, claim(database), epoch=0)
    refuse(database, claim(database), epoch=0, refused=BAD_KEY)
    assert read(database).hold_reason == "key_refused"
    assert alert_events(database) == [*ENDED, ("key_refused", "opened")]


# --- While it is closed


def test_nothing_is_claimed_and_no_wake_up_is_sent_while_sending_is_held(
    runtime: Runtime, database: Database, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    change_account(database, hold_reason="no_balance")
    ids = insert(database, 3)
    assert one_sender.send(runtime, ids) == 0
    assert attempts.wake_for_waiting(runtime, 10) == 0
    assert wakeups.sends == []
    assert simulator.stats().requests == {}
    assert states(database) == ["queued"] * 3


def test_what_was_claimed_before_it_closed_goes_back_without_a_call(
    runtime: Runtime, database: Database, simulator: Simulator
) -> None:
    simulator.set(balance=0)
    ids = insert(database, 10)
    one_sender.send(runtime, ids)
    assert simulator.stats().requests["sendMsg"] == {"-104": 1}
    assert states(database) == ["queued"] * 10
    assert {row(database, each).attempts for each in ids} == {0}
    assert [row(database, each).last_code for each in ids].count(-104) == 1
    assert alert_events(database) == [("no_balance", "opened")]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_thread_that_met_a_refusal_begins_no_further_call_before_it_is_recorded(
    runtime: Runtime, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify = runtime.database.after_commit
    assert notify is not None

    def late(noted: Sequence[object]) -> None:
        time.sleep(0.2)
        notify(noted)

    monkeypatch.setattr(runtime.database, "after_commit", late)
    monkeypatch.setattr(
        "worker.account.account_state._CACHE_SECONDS", 60.0
    )  # as on a machine where all of it takes no time
    simulator.set(balance=0)
    one_sender.send(runtime, insert(runtime.database, 3))
    assert simulator.stats().requests["sendMsg"] == {"-104": 1}


@pytest.mark.parametrize("reason", ["no_balance", "provider_down"])
def test_an_outcome_shows_this_process_the_hold_that_another_one_has_put(
    runtime: Runtime, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    monkeypatch.setattr("worker.account.account_state._CACHE_SECONDS", 60.0)
    insert(runtime.database, 3)
    batch = attempts.claim(runtime, None, 3)
    change_account(runtime.database, hold_reason=reason)
    if reason == "no_balance":
        simulator.set(balance=0)
    else:
        simulator.faults([Fault(FaultKind.RESET_BEFORE)])
    one_sender.attempt(runtime, batch)
    assert sum(simulator.stats().requests["sendMsg"].values()) == 1
    assert sorted(states(runtime.database)) == ["queued"] * 2 + ["queued" if reason == "no_balance" else "unknown"]


def test_expired_messages_end_while_it_is_held(database: Database) -> None:
    change_account(database, hold_reason="no_balance")
    insert(database, expires_at=LONG_AGO)
    database.transact(lambda connection: claims.expire(connection, 10))
    assert states(database) == ["expired"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_expired_while_it_was_held_is_not_sent_when_the_hold_ends(runtime: Runtime, simulator: Simulator) -> None:
    database = runtime.database
    change_account(database, hold_reason="no_balance")
    ids = insert(database, expires_at=clock(database) + dt.timedelta(seconds=0.3))
    one_sender.send(runtime, ids)
    assert states(database) == ["queued"]
    time.sleep(0.4)
    change_account(database, hold_reason=None)
    one_sender.send(runtime, ids)
    assert states(database) == ["expired"]
    assert simulator.stats().requests.get("sendMsg", {}) == {}


# --- Probing and the canary


def test_a_probe_happens_when_its_time_has_come_and_once(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(balance=77)
    assert probe(runtime) == 77
    assert balance.check(runtime) is None
    assert simulator.stats().requests["credits"] == {"1": 1}
    assert read(runtime.database).balance == 77


def test_without_enough_for_the_smallest_refused_message_nothing_goes(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    change_account(runtime.database, hold_reason="no_balance", needed_credits=2)
    simulator.set(balance=1)
    insert(runtime.database)
    release(runtime, wakeups)
    assert wakeups.sends == []
    assert "sendMsg" not in simulator.stats().requests


def test_the_canary_is_the_first_by_priority_that_the_balance_covers(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    database = runtime.database
    change_account(database, hold_reason="no_balance")
    insert(database, text="x" * 301, priority=Priority.HIGH)
    insert(database, priority=Priority.LOW)
    [normal] = insert(database, text="x" * 300)
    simulator.set(balance=2)
    probe(runtime)
    assert wakeups.sends == [[normal]]
    assert read(database).allowed_canary == normal


@pytest.mark.parametrize("form", ["decimal", "commas", "text", "words"])
def test_a_hold_is_lifted_however_the_provider_writes_the_balance(
    form: str, runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    """Also where nobody can read it: the canary's own answer says whether there is enough."""
    database = runtime.database
    simulator.set(balance=0, credits_form=form)
    one_sender.send(runtime, insert(database, 3))
    assert read(database).hold_reason == "no_balance"
    release(runtime, wakeups)
    assert not read(database).is_open
    simulator.set(balance=1_234_567)
    release(runtime, wakeups)
    assert states(database) == ["sent"] * 3
    assert read(database).is_open
    assert read(database).balance == (None if form == "words" else 1_234_567)


def test_one_accepted_canary_ends_the_hold_and_reports_it_once(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    database = runtime.database
    simulator.set(balance=0)
    ids = insert(database, 5)
    one_sender.send(runtime, ids)
    simulator.set(balance=100)
    release(runtime, wakeups)
    found = read(database)
    assert (found.is_open, found.epoch, found.canary_id) == (True, 1, None)
    assert alert_events(database) == ENDED
    assert wakeups.alerted.wait(60)
    assert wakeups.swept.wait(60)
    # The one who brought the canary's answer goes on with the rest.
    assert states(database) == ["sent"] * 5
    assert len(simulator.ledger()) == 5


def test_only_one_canary_flies_at_a_time(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    change_account(runtime.database, hold_reason="no_balance")
    insert(runtime.database, 5)
    probe(runtime)
    probe(runtime)
    assert len(wakeups.sends) == 1


def test_a_canary_whose_worker_died_gives_way_to_another(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    database = runtime.database
    change_account(database, hold_reason="no_balance")
    first, second = insert(database, 2)
    probe(runtime)
    database.transact(lambda connection: claims.claim(connection, [first], 1, POLICY, canary=first))
    change_account(database, canary_until=LONG_AGO)
    release(runtime, wakeups)
    assert wakeups.sends == [[second]]
    assert read(database).is_open
    # The first one may have been accepted: it is not sent again.
    assert states(database) == ["sending", "sent"]


def _is_expired(database: Database, message_id: int) -> None:
    change(database, [message_id], expires_at=LONG_AGO)


def _is_cancelled(database: Database, message_id: int) -> None:
    change(database, [message_id], state=State.CANCELLED, due_at=None)


def _is_later(database: Database, message_id: int) -> None:
    change(database, [message_id], send_at=clock(database) + dt.timedelta(hours=1))


def _is_gone(database: Database, message_id: int) -> None:
    with database.begin() as connection:
        connection.execute(sa.delete(messages).where(messages.c.id == message_id))


def _has_a_duplicate_in_flight(database: Database, message_id: int) -> None:
    of = row(database, message_id)
    key = wire_key(of.phone, of.text)
    insert(database, state=State.SENDING, phone=of.phone, text=of.text, wire_key=key, due_at=clock(database))


@pytest.mark.parametrize(
    "befalls",
    [_is_expired, _is_cancelled, _is_later, _is_gone, _has_a_duplicate_in_flight],
    ids=lambda each: each.__name__,
)
def test_a_canary_that_does_not_go_gives_way_to_another_in_the_same_claim(
    runtime: Runtime, wakeups: RecordingWakeups, befalls: Callable[[Database, int], None]
) -> None:
    database = runtime.database
    change_account(database, hold_reason="provider_down")
    [first] = insert(database, priority=Priority.HIGH)
    [low] = insert(database, priority=Priority.LOW)
    [high] = insert(database, priority=Priority.HIGH, due_at=clock(database))
    probe(runtime)
    assert wakeups.sends == [[first]]
    befalls(database, first)
    [claim] = attempts.claim(runtime, [first], 1).claims
    assert (claim.id, claim.canary) == (high, True)
    assert read(database).canary_id == high
    assert row(database, low).state == "queued"


def test_canaries_that_do_not_go_are_passed_over_by_the_dozen(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    """Quiet hours: what waits for the morning does not keep the account closed."""
    database = runtime.database
    change_account(database, hold_reason="no_balance")
    expired = insert(database, 20, expires_at=clock(database) + dt.timedelta(hours=1))
    probe(runtime)
    change(database, expired, expires_at=LONG_AGO)
    [good] = insert(database, due_at=clock(database))
    [claim] = attempts.claim(runtime, wakeups.sends[-1], 1).claims
    assert claim.id == good


def test_where_no_canary_is_left_an_account_whose_key_works_opens(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    database = runtime.database
    change_account(database, hold_reason="key_refused")
    [only] = insert(database)
    probe(runtime)
    change(database, [only], expires_at=LONG_AGO)
    assert attempts.claim(runtime, [only], 1).claims == []
    assert read(database).is_open
    assert row(database, only).state == "expired"


def test_a_canary_that_another_worker_holds_keeps_its_place(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    database = runtime.database
    change_account(database, hold_reason="no_balance")
    first, _ = insert(database, 2)
    probe(runtime)
    assert [each.id for each in attempts.claim(runtime, [first], 1).claims] == [first]
    assert attempts.claim(runtime, [first], 1).claims == []
    assert read(database).canary_id == first


def test_a_canary_that_was_claimed_and_not_called_for_is_followed_by_another_at_once(
    runtime: Runtime, wakeups: RecordingWakeups
) -> None:
    database = runtime.database
    change_account(database, hold_reason="no_balance")
    [low] = insert(database, priority=Priority.LOW)
    probe(runtime)
    [claim] = attempts.claim(runtime, [low], 1).claims
    database.transact(lambda connection: record_results(connection, [Ended(claim, Released(), 0)], SETTINGS, RNG))
    [high] = insert(database, priority=Priority.HIGH)
    assert balance.check(runtime) is not None
    assert wakeups.sends[-1] == [high]


@pytest.mark.parametrize("code", [-102, -105])
def test_a_canary_that_is_refused_for_its_own_fault_is_followed_by_another_at_once(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator, code: int
) -> None:
    database = runtime.database
    change_account(database, hold_reason="no_balance")
    bad, good = insert(database, 2)
    change(database, [bad], **({"rule_id": "99"} if code == -105 else {"phone": "123"}))
    change(database, [good], due_at=LONG_AGO + dt.timedelta(hours=1))
    release(runtime, wakeups)
    assert not read(database).is_open
    assert balance.check(runtime) is not None  # due at once
    one_sender.send(runtime, wakeups.sends[-1])
    assert read(database).is_open
    assert [row(database, each).state for each in (bad, good)] == ["failed", "sent"]


@pytest.mark.parametrize("kind", [FaultKind.NO_BALANCE, FaultKind.HTTP_500_AFTER, FaultKind.RESET_AFTER])
def test_a_canary_without_success_leaves_it_closed_until_the_next_probe(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator, kind: FaultKind
) -> None:
    database = runtime.database
    simulator.set(balance=0)
    insert(database, 3)
    one_sender.send(runtime, [])
    simulator.set(balance=100)
    simulator.faults([Fault(kind, count=1)])
    release(runtime, wakeups)
    assert not read(database).is_open
    assert balance.check(runtime) is None  # not due before its time
    assert alert_events(database) == [("no_balance", "opened")]
    release(runtime, wakeups)
    assert alert_events(database) == ENDED


def test_a_canary_of_unknown_outcome_is_not_sent_again(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    database = runtime.database
    change_account(database, hold_reason="no_balance")
    [only] = insert(database)
    simulator.faults([Fault(FaultKind.RESET_AFTER, count=1)])
    release(runtime, wakeups)
    release(runtime, wakeups)
    assert row(database, only).state == "unknown"
    assert len(simulator.ledger()) == 1


def test_a_nearly_empty_account_does_not_flap(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    """One credit and two that wait: one goes, the hold remains, and no alert says that it is over."""
    database = runtime.database
    simulator.set(balance=0)
    insert(database, 2)
    one_sender.send(runtime, [])
    for left in (1, 0):
        simulator.set(balance=1)
        release(runtime, wakeups)
        assert states(database).count("queued") == left
        if left:
            assert not read(database).is_open
            assert alert_events(database) == [("no_balance", "opened")]
    assert alert_events(database) == ENDED
    assert simulator.stats().requests["sendMsg"] == {"-104": 1, "1": 2}


def test_what_the_canary_was_charged_counts_where_the_balance_is_nearly_empty(database: Database) -> None:
    change_account(database, hold_reason="no_balance", balance=3)
    canary, _ = insert(database, 2)
    change_account(database, canary_id=canary)
    with database.begin() as connection:
        assert not holds.judge_canary(connection, canary, Accepted(1, 3, "ok"), SETTINGS)
    found = read(database)
    assert (found.hold_reason, found.balance, found.canary_id) == ("no_balance", 0, None)


@pytest.mark.parametrize("outcome", [Accepted(1, 1, "ok"), NO_BALANCE, Unknown("reset"), Released()])
def test_what_becomes_of_a_canary_that_gave_way_neither_ends_the_hold_nor_stops_the_other(
    database: Database, outcome: Outcome
) -> None:
    gave_way, canary = insert(database, 2)
    change_account(database, hold_reason="no_balance", balance=100, canary_id=canary)
    before = read(database)
    with database.begin() as connection:
        assert not holds.judge_canary(connection, gave_way, outcome, SETTINGS)
    assert dataclasses.replace(read(database), now=before.now) == before


def test_two_workers_that_probe_at_once_ask_once(make_runtime: MakeRuntime, simulator: Simulator) -> None:
    first, second = make_runtime(), make_runtime()
    change_account(first.database, probe_at=LONG_AGO)
    assert [balance.check(first) is None, balance.check(second) is None] == [False, True]
    assert simulator.stats().requests["credits"] == {"1": 1}


@pytest.mark.parametrize("kind", [FaultKind.HTTP_503_BEFORE, FaultKind.HTML_BEFORE, FaultKind.UNLISTED])
def test_a_probe_without_an_answer_changes_nothing(runtime: Runtime, simulator: Simulator, kind: FaultKind) -> None:
    change_account(runtime.database, hold_reason="no_balance")
    insert(runtime.database)
    simulator.faults([Fault(kind, endpoints=("credits",))])
    assert probe(runtime) is None
    assert read(runtime.database).hold_reason == "no_balance"


# --- The key


def test_a_refused_key_holds_everything_and_reopens_when_it_works(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    database = runtime.database
    simulator.faults([Fault(FaultKind.WRONG_KEY, endpoints=("sendMsg", "getMsg", "report", "credits"))])
    ids = insert(database, 5)
    one_sender.send(runtime, ids)
    assert simulator.stats().requests["sendMsg"] == {"wrong_key": 1}
    release(runtime, wakeups)
    assert read(database).hold_reason == "key_refused"
    simulator.faults()
    release(runtime, wakeups)
    assert read(database).is_open
    assert alert_events(database) == [("key_refused", "opened"), ("key_refused", "closed")]
    assert simulator.stats().requests["sendMsg"] == {"1": 5, "wrong_key": 1}


def test_a_key_that_works_again_ends_the_hold_although_no_message_waits_that_could_be_the_canary(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    """Otherwise the messages that were sent would not be followed until somebody sends another one."""
    database = runtime.database
    [followed] = insert(database, state=State.SENT, id_mensaje=1, sent_at=clock(database))
    simulator.faults([Fault(FaultKind.WRONG_KEY, endpoints=("getMsg",))])
    by_status.poll(runtime, [followed])
    assert read(database).hold_reason == "key_refused"
    simulator.faults()
    change(database, due_at=LONG_AGO)
    with database.read() as connection:
        assert by_status.due(connection, 10) == []
    probe(runtime)
    assert read(database).is_open
    assert alert_events(database) == [("key_refused", "opened"), ("key_refused", "closed")]
    assert wakeups.swept.is_set()
    with database.read() as connection:
        assert by_status.due(connection, 10) == [followed]


def test_a_key_that_works_again_on_an_empty_account_ends_the_right_incident(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    database = runtime.database
    change_account(database, hold_reason="key_refused")
    simulator.set(balance=0)
    insert(database)
    release(runtime, wakeups)
    one_sender.send(runtime, [])
    assert read(database).hold_reason == "no_balance"


def test_a_key_that_only_the_probe_finds_refused_begins_a_hold_too(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(api_key="another")
    probe(runtime)
    assert read(runtime.database).hold_reason == "key_refused"
    assert alert_events(runtime.database) == [("key_refused", "opened")]


# --- The operator


def test_an_operators_hold_is_independent_and_its_repetition_is_reported(database: Database) -> None:
    assert database.transact(holds.hold_by_operator)
    assert not database.transact(holds.hold_by_operator)
    assert not read(database).is_open
    assert database.transact(holds.lift_operator_hold).is_open


def test_no_canary_goes_against_the_operators_wish(
    runtime: Runtime, wakeups: RecordingWakeups, simulator: Simulator
) -> None:
    database = runtime.database
    change_account(database, hold_reason="no_balance")
    [only] = insert(database)
    database.transact(holds.hold_by_operator)
    release(runtime, wakeups)
    assert wakeups.sends == []
    change_account(database, canary_id=only)
    assert one_sender.send(runtime, [only]) == 0
    assert simulator.ledger() == []


def test_a_hold_of_the_operator_outlasts_the_end_of_the_automatic_one_and_the_reverse(database: Database) -> None:
    [canary] = claim(database)
    database.transact(holds.hold_by_operator)
    refuse(database, claim(database), epoch=0)
    assert database.transact(holds.lift_operator_hold).hold_reason == "no_balance"
    database.transact(holds.hold_by_operator)
    change_account(database, canary_id=canary.id, balance=100)
    with database.begin() as connection:
        assert holds.judge_canary(connection, canary.id, Accepted(1, 1, "ok"), SETTINGS)
    found = read(database)
    assert found.hold_reason is None
    assert not found.is_open


def down_and_probed(database: Database, probes: int, rng: random.Random) -> int:
    """Probe a provider that fails seven times in ten; return how often the hold ended."""
    opened = 0
    for _ in range(probes):
        with database.begin() as connection:
            now = account_state.read(connection)
            if now.hold_reason is None:
                opened += 1
                failed = MOST_FAILURES
                assert count_failures(connection, failed, epoch=now.epoch, settings=SETTINGS)
            canary = holds.choose_canary(connection, None, now.now)
            assert canary is not None
            outcome = Unknown("reset") if rng.random() < 0.7 else Accepted(1, 1, "ok")
            holds.judge_canary(connection, canary, outcome, SETTINGS)
    return opened


def test_a_provider_that_fails_most_of_the_time_does_not_begin_and_end_the_hold_again_and_again(
    database: Database,
) -> None:
    """Without the rule it began and ended 25 times in 60 probes."""
    insert(database, 2)
    assert down_and_probed(database, 60, random.Random(7)) <= 5
    assert len(alert_events(database)) <= 3
    # Once it works, a few canaries in a row suffice.
    answers = 0
    with database.begin() as connection:
        while account_state.read(connection).hold_reason is not None and answers < 20:
            answers += 1
            canary = holds.choose_canary(connection, None, account_state.read(connection).now)
            assert canary is not None
            holds.judge_canary(connection, canary, Accepted(1, 1, "ok"), SETTINGS)
    assert answers <= holds.MOST_CANARIES


def test_a_provider_that_was_down_long_ago_needs_one_canary(database: Database) -> None:
    insert(database, 2)
    change_account(database, relapses=4, opened_at=LONG_AGO)
    with database.begin() as connection:
        assert count_failures(connection, MOST_FAILURES, epoch=0, settings=SETTINGS)
        canary = holds.choose_canary(connection, None, account_state.read(connection).now)
        assert canary is not None
        assert holds.judge_canary(connection, canary, Accepted(1, 1, "ok"), SETTINGS)


def test_resume_probes_at_once(database: Database) -> None:
    change_account(database, hold_reason="no_balance", probe_at=dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
    found = database.transact(holds.lift_operator_hold)
    assert found.probe_at <= found.now


# --- The early warning


def test_a_low_balance_is_reported_once_and_its_end_once(make_runtime: MakeRuntime, simulator: Simulator) -> None:
    runtime = make_runtime(SMSCLICK_LOW_BALANCE=50)
    for left in (50, 49, 48, 100, 100):
        simulator.set(balance=left)
        probe(runtime)
    assert alert_events(runtime.database) == [("low_balance", "opened"), ("low_balance", "closed")]


def test_the_early_warning_is_off_by_default(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(balance=0)
    probe(runtime)
    assert alert_events(runtime.database) == []


def test_the_early_warning_does_not_join_the_incident_that_there_is_nothing_at_all(
    make_runtime: MakeRuntime, simulator: Simulator
) -> None:
    runtime = make_runtime(SMSCLICK_LOW_BALANCE=50)
    change_account(runtime.database, hold_reason="no_balance")
    simulator.set(balance=0)
    probe(runtime)
    assert alert_events(runtime.database) == []


def test_there_is_one_account(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(sa.select(accounts.c.account)).scalars().all() == ["default"]
        assert connection.execute(sa.select(incidents.c.id)).all() == []
