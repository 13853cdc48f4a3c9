"""Every kind of fault at each of the provider's four calls, and what becomes of the message (docs/fault-matrix.md).

The simulator's ledger decides: it shows what was accepted, whatever answer the worker received.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from smsclick.contract import HoldReason, IfAbsent, State
from smsclick.simulator import Fault, FaultKind
from tests.factories import LONG_AGO
from tests.integration.workbench import Bench, bench
from tests.processes import wait_until
from worker.maintenance import balance
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS
from worker.tracking import by_status

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERED = frozenset({FaultKind.LATENCY})
"""The answer comes, only later."""
REFUSED = frozenset({FaultKind.UNLISTED, FaultKind.WRONG_KEY, FaultKind.NO_BALANCE})
"""A readable refusal: surely not accepted."""
UNKNOWN = frozenset(FaultKind) - ANSWERED - REFUSED
"""The answer does not show whether the message was accepted."""
SILENT = frozenset({FaultKind.HANG_BEFORE, FaultKind.HANG_AFTER, FaultKind.TRICKLE})
"""No whole answer comes, and the worker waits for the timeout."""
IMPATIENCE = 1.5

LATE = FaultKind.LATE_ACCEPTANCE
"""Accepted after the call was given up: what it shows depends on when somebody looks, so it has a test of its own."""

every_kind = pytest.mark.parametrize("kind", list(FaultKind), ids=lambda kind: kind.value)
every_kind_but_late = pytest.mark.parametrize("kind", [each for each in FaultKind if each is not LATE])


@pytest.fixture
def made(migrated_sqlite_url: str) -> Iterator[Bench]:
    with bench(migrated_sqlite_url) as running:
        running.witness(LEAST_CONTROL_ROWS)
        yield running


@contextlib.contextmanager
def fault(made: Bench, kind: FaultKind, endpoint: str, count: int = 1) -> Iterator[None]:
    """The next `count` requests to an endpoint meet it. Only an answer that never comes is waited for impatiently."""
    seconds = 0.05 if kind is FaultKind.LATENCY else 60.0
    made.simulator.faults([Fault(kind=kind, endpoints=(endpoint,), count=count, seconds=seconds)])  # type: ignore[arg-type]
    with made.impatient(IMPATIENCE) if kind in SILENT else contextlib.nullcontext():
        yield


@every_kind
def test_a_fault_at_sendmsg_leaves_the_message_where_its_answer_says(kind: FaultKind, made: Bench) -> None:
    [message_id] = made.enqueue()
    [claim] = made.claim([message_id])
    with fault(made, kind, "sendMsg"):
        made.record(claim, made.call(claim))
    expected = State.SENT if kind in ANSWERED else State.QUEUED if kind in REFUSED else State.UNKNOWN
    assert made.states() == [expected]
    assert len(made.ledger()) == kind.accepts


@every_kind_but_late
def test_a_fault_at_sendmsg_with_resend_ends_in_one_delivery(kind: FaultKind, made: Bench) -> None:
    with fault(made, kind, "sendMsg"):
        made.send(made.enqueue())
    made.live()
    assert made.states() == [State.DELIVERED]
    assert len(made.ledger()) == 1


def test_a_call_that_was_given_up_and_is_accepted_later_ends_in_one_delivery(made: Bench) -> None:
    made.simulator.faults([Fault(kind=LATE, seconds=1, count=1)])
    made.send(made.enqueue())
    assert made.states() == [State.UNKNOWN]
    made.reconcile()
    assert made.states() == [State.UNKNOWN]
    wait_until(made.ledger, what="the late acceptance")
    made.reconcile()
    assert made.states() == [State.SENT]
    made.live()
    assert made.states() == [State.DELIVERED]
    assert len(made.ledger()) == 1


@every_kind_but_late
def test_a_fault_at_sendmsg_with_fail_ends_in_one_delivery_or_a_true_failure(kind: FaultKind, made: Bench) -> None:
    with fault(made, kind, "sendMsg"):
        made.send(made.enqueue(if_absent=IfAbsent.FAIL))
    made.live()
    absent = kind in UNKNOWN and not kind.accepts
    assert made.states() == [State.FAILED if absent else State.DELIVERED]
    assert len(made.ledger()) == (0 if absent else 1)


@every_kind
def test_a_fault_at_the_report_concludes_nothing_and_it_is_read_again(kind: FaultKind, made: Bench) -> None:
    [message_id] = made.enqueue(if_absent=IfAbsent.FAIL)
    [claim] = made.claim([message_id])
    made.call(claim)
    made.lose()
    made.age()
    # A report that fails is asked for once more within the pass; one that is refused is not.
    with fault(made, kind, "report", count=1 if kind in REFUSED else 2):
        made.reconcile()
    assert made.states() == [State.SENT if kind in ANSWERED else State.UNKNOWN]
    made.reconcile()
    assert made.states() == [State.SENT]
    assert made.row(message_id).id_mensaje == made.ledger()[0].id_mensaje


@every_kind
def test_a_fault_at_getmsg_records_nothing_wrong_and_the_status_is_asked_again(kind: FaultKind, made: Bench) -> None:
    [message_id] = made.enqueue()
    made.send([message_id])
    made.change(State.SENT, due_at=LONG_AGO)
    with fault(made, kind, "getMsg"):
        by_status.poll(made.runtime, [message_id])
    assert made.states() == [State.DELIVERED if kind in ANSWERED else State.SENT]
    made.enqueue()  # the canary, where the key was refused
    made.live()
    assert made.states() == [State.DELIVERED, State.DELIVERED]
    assert len(made.ledger()) == 2


@every_kind
def test_a_fault_at_credits_leaves_the_hold_unchanged_and_the_balance_is_asked_again(
    kind: FaultKind, made: Bench
) -> None:
    made.enqueue()
    made.change_account(hold_reason=HoldReason.PROVIDER_DOWN, hold_since=LONG_AGO, probe_at=LONG_AGO)
    with fault(made, kind, "credits"):
        balance.check(made.runtime)
    assert not made.account_state().is_open
    assert made.ledger() == []
    made.live()
    assert made.account_state().is_open
    assert made.states() == [State.DELIVERED]
    assert len(made.ledger()) == 1
