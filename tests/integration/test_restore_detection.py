"""A worker that starts on a restored backup sends nothing before an operator has said since when."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick.contract import State, clocks, messages
from smsclick.simulator import Fault, FaultKind
from tests.factories import LONG_AGO
from tests.integration.workbench import Bench, bench
from worker.restore import detection
from worker.restore.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = dt.timedelta(days=1)


@pytest.fixture
def worked(database_url: str) -> Iterator[Bench]:
    """Messages were sent, and then nobody looked for a day."""
    with bench(database_url) as made:
        made.enqueue(6)
        made.send()
        made.enqueue(3)
        with made.database.begin() as connection:
            connection.execute(sa.delete(clocks))
            connection.execute(sa.insert(clocks).values(name="database", seen_at=made.database.clock() - DAY))
        yield made


def _as_in_the_backup(worked: Bench, *ids: int) -> None:
    """The rows as they were before they were sent."""
    blank = dict.fromkeys(("token", "wire_key", "lease_until", "attempted_at", "id_mensaje", "sent_at", "last_code"))
    with worked.database.begin() as connection:
        connection.execute(
            sa.update(messages)
            .where(messages.c.id.in_(ids))
            .values(**blank, state=State.QUEUED, due_at=LONG_AGO, attempts=0, estatus_mensaje=None, credits_used=None)
        )


def test_messages_that_wait_although_they_were_sent_hold_everything(worked: Bench) -> None:
    ids = [row.id for row in worked.rows(State.SENT)]
    _as_in_the_backup(worked, *ids[:2])
    found = detection.hold_if_restored(worked.database, worked.runtime.client)
    assert found is not None
    assert (found.count, found.message_id) == (2, ids[0])
    assert not worked.account_state().is_open
    worked.runtime.hold_cache.forget()
    worked.send()
    assert len(worked.ledger()) == 6, "not even what was new"
    assert worked.alert_events() == [("restored", "opened")]
    recover(worked.database, found.since, worked.runtime.account, actor="ana")
    worked.reconcile()
    assert {worked.row(each).state for each in ids[:2]} == {State.SENT}


def test_a_time_in_which_nobody_worked_holds_nothing(worked: Bench) -> None:
    assert detection.hold_if_restored(worked.database, worked.runtime.client) is None
    worked.send()
    assert len(worked.ledger()) == 9


def test_what_waits_for_an_attempt_of_unknown_outcome_is_no_sign(worked: Bench) -> None:
    first = worked.rows(State.SENT)[0]
    _as_in_the_backup(worked, first.id)
    worked.claim([first.id])
    worked.enqueue(1, phone=first.phone, text=first.text)
    assert detection.hold_if_restored(worked.database, worked.runtime.client) is None


def test_a_report_that_cannot_be_read_holds_nothing(worked: Bench) -> None:
    _as_in_the_backup(worked, worked.rows(State.SENT)[0].id)
    worked.simulator.faults([Fault(FaultKind.HTTP_500_BEFORE, endpoints=("report",))])
    assert detection.hold_if_restored(worked.database, worked.runtime.client) is None
    assert worked.account_state().is_open


def test_where_somebody_has_just_looked_the_provider_is_not_asked(worked: Bench) -> None:
    with worked.database.begin() as connection:
        connection.execute(sa.update(clocks).values(seen_at=worked.database.clock()))
    worked.simulator.stop()
    assert detection.hold_if_restored(worked.database, worked.runtime.client) is None
