"""Follow: status checks against the real simulator until a final status, and for replies after it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from smsclick.contract import State
from smsclick.simulator import Fault, FaultKind
from tests import one_sender
from tests.factories import (
    LONG_AGO,
    PHONE,
    RecordingWakeups,
    alert_events,
    change,
    change_account,
    clock,
    history,
    insert,
    row,
    states,
)
from worker.tracking import by_status

if TYPE_CHECKING:
    from smsclick._database.engine import Database
    from smsclick.simulator import Simulator
    from tests.integration.conftest import MakeRuntime
    from worker.runtime import Runtime

UNANSWERED = [
    FaultKind.RESET_BEFORE,
    FaultKind.HTTP_500_AFTER,
    FaultKind.HTML_AFTER,
    FaultKind.CUT,
    FaultKind.RATE_LIMIT,
    FaultKind.UNLISTED,
]


def due(database: Database, limit: int = 100) -> list[int]:
    with database.read() as connection:
        return by_status.due(connection, limit)


def sent(runtime: Runtime, count: int = 1, **values: object) -> list[int]:
    """Messages that the simulator accepted and whose check is due."""
    ids = insert(runtime.database, count, **values)
    one_sender.send(runtime, ids)
    change(runtime.database, ids, due_at=LONG_AGO)
    return ids


def ask(runtime: Runtime, ids: list[int]) -> int:
    """A check whose time has come."""
    change(runtime.database, ids, due_at=LONG_AGO)
    return by_status.poll(runtime, ids)


def test_a_message_is_followed_until_it_is_received(runtime: Runtime, simulator: Simulator) -> None:
    [message_id] = sent(runtime)
    entry = simulator.ledger()[0]
    for estatus in (0, 1, 2):
        simulator.force_status(entry.id_mensaje, estatus)
        assert ask(runtime, [message_id]) == 1
        found = row(runtime.database, message_id)
        assert (found.state, found.estatus_mensaje) == ("sent", estatus)
        assert found.due_at > clock(runtime.database)
    simulator.force_status(entry.id_mensaje, 3)
    ask(runtime, [message_id])
    found = row(runtime.database, message_id)
    assert (found.state, found.estatus_mensaje, found.due_at) == ("delivered", 3, None)
    assert [each.to_state for each in history(runtime.database, message_id)] == ["sending", "sent", "delivered"]


def test_a_message_that_the_provider_rejects_is_rejected(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(reject_phones=frozenset({PHONE}))
    ask(runtime, sent(runtime))
    assert states(runtime.database) == ["rejected"]


def test_a_status_never_goes_backwards(runtime: Runtime, simulator: Simulator) -> None:
    ids = sent(runtime)
    for estatus in (2, 0):
        simulator.force_status(simulator.ledger()[0].id_mensaje, estatus)
        ask(runtime, ids)
    assert row(runtime.database, ids[0]).estatus_mensaje == 2


@pytest.mark.parametrize("kind", UNANSWERED)
def test_a_check_without_a_usable_answer_is_tried_later(
    runtime: Runtime, simulator: Simulator, kind: FaultKind
) -> None:
    ids = sent(runtime)
    simulator.faults([Fault(kind, endpoints=("getMsg",), count=1)])
    ask(runtime, ids)
    found = row(runtime.database, ids[0])
    assert (found.state, found.polls) == ("sent", 1)
    assert found.due_at > clock(runtime.database)
    assert found.last_error
    ask(runtime, ids)
    found = row(runtime.database, ids[0])
    assert (found.state, found.last_error) == ("delivered", None)


def test_an_id_that_the_provider_does_not_know_is_never_final(runtime: Runtime) -> None:
    ids = insert(runtime.database, state=State.SENT, id_mensaje=1, sent_at=clock(runtime.database))
    ask(runtime, ids)
    found = row(runtime.database, ids[0])
    assert (found.state, found.last_code) == ("sent", -201)
    assert found.due_at is not None


def test_what_is_not_due_is_not_asked_for(runtime: Runtime, simulator: Simulator) -> None:
    ids = sent(runtime)
    change(runtime.database, due_at=clock(runtime.database) + dt.timedelta(hours=1))
    assert due(runtime.database) == []
    assert by_status.poll(runtime, ids) == 0
    assert "getMsg" not in simulator.stats().requests


def test_a_doubled_wakeup_asks_once(runtime: Runtime, simulator: Simulator) -> None:
    ids = sent(runtime, 3)
    simulator.set(delivery_seconds=60)
    assert by_status.poll(runtime, ids) + by_status.poll(runtime, ids) == 3


def test_one_task_asks_for_a_bounded_number(runtime: Runtime) -> None:
    ids = sent(runtime, by_status.CHECKS_PER_TASK + 5)
    assert by_status.poll(runtime, ids, slice_seconds=60) == by_status.CHECKS_PER_TASK
    assert len(due(runtime.database)) == 5


def test_what_the_slice_leaves_over_is_due_again_at_once(runtime: Runtime, simulator: Simulator) -> None:
    ids = sent(runtime, 3)
    assert by_status.poll(runtime, ids, slice_seconds=0) == 0
    assert sorted(due(runtime.database)) == ids
    assert "getMsg" not in simulator.stats().requests


def test_a_worker_that_stops_asks_for_nothing_more(runtime: Runtime) -> None:
    ids = sent(runtime, 3)
    runtime.stopping.set()
    assert by_status.poll(runtime, ids) == 0
    assert sorted(due(runtime.database)) == ids


def test_a_worker_that_died_with_its_checks_costs_time_and_nothing_else(runtime: Runtime) -> None:
    ids = sent(runtime)
    assert by_status._claim(runtime, ids).keys() == set(ids)
    assert due(runtime.database) == []
    change(runtime.database, due_at=LONG_AGO)
    assert sorted(due(runtime.database)) == ids


def test_the_tracking_window_ends_with_undetermined_and_one_incident(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(never_phones=frozenset({PHONE}))
    ids = sent(runtime, 3)
    change(runtime.database, ids, sent_at=clock(runtime.database) - dt.timedelta(days=7))
    ask(runtime, ids)
    assert states(runtime.database) == ["undetermined"] * 3
    assert alert_events(runtime.database) == [("undetermined", "opened")]


def test_a_later_status_corrects_an_undetermined_message(runtime: Runtime, simulator: Simulator) -> None:
    ids = sent(runtime)
    change(runtime.database, ids, state=State.UNDETERMINED, due_at=LONG_AGO)
    assert sorted(due(runtime.database)) == ids
    by_status.poll(runtime, ids)
    assert states(runtime.database) == ["delivered"]


def test_an_interactive_message_is_watched_for_its_reply_after_delivery(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(reply_seconds=3600)
    ids = sent(runtime, rule_id="1")
    ask(runtime, ids)
    found = row(runtime.database, ids[0])
    assert (found.state, found.reply) == ("delivered", None)
    assert found.due_at is not None
    change(runtime.database, ids, due_at=LONG_AGO)
    assert sorted(due(runtime.database)) == ids


def test_a_reply_is_stored_once_with_its_time(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(reply_text="SÍ, quiero ñ 📱")
    ids = sent(runtime, rule_id="1")
    ask(runtime, ids)
    found = row(runtime.database, ids[0])
    assert (found.state, found.reply, found.due_at) == ("delivered", "SÍ, quiero ñ 📱", None)
    assert abs(found.replied_at - clock(runtime.database)) < dt.timedelta(minutes=1)


def test_a_refused_key_stops_the_asking_and_holds_the_account_once(
    runtime: Runtime, simulator: Simulator, wakeups: RecordingWakeups
) -> None:
    ids = sent(runtime, 5)
    simulator.faults([Fault(FaultKind.WRONG_KEY, endpoints=("getMsg",))])
    assert by_status.poll(runtime, ids) == 1
    assert alert_events(runtime.database) == [("key_refused", "opened")]
    assert wakeups.alerted.is_set()
    assert due(runtime.database) == []
    assert by_status.poll(runtime, ids) == 0
    assert states(runtime.database) == ["sent"] * 5


def test_statuses_are_asked_for_while_there_is_no_balance_or_the_operator_holds(runtime: Runtime) -> None:
    ids = sent(runtime)
    change_account(runtime.database, hold_reason="no_balance", operator_hold_at=LONG_AGO)
    assert sorted(due(runtime.database)) == ids
    assert by_status.poll(runtime, ids) == 1


def test_a_provider_that_is_not_there_fails_no_message(make_runtime: MakeRuntime, simulator: Simulator) -> None:
    runtime = make_runtime()
    ids = sent(runtime, 2)
    simulator.stop()
    assert by_status.poll(runtime, ids) == 2
    assert states(runtime.database) == ["sent", "sent"]
    assert due(runtime.database) == []
