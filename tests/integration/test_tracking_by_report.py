"""Follow by report: the statuses of many messages from one request, and what happens where reports fail."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from smsclick.contract import State, budgets, messages, watermarks
from smsclick.simulator import Fault, FaultKind
from tests import one_sender
from tests.factories import KEY, LONG_AGO, PHONE, RecordingWakeups, alert_events, change, clock, insert, row, states
from tests.processes import ROOT
from worker.account import status_check
from worker.lifecycle.policy import Policy
from worker.maintenance import sweep
from worker.reports import windows
from worker.tracking import bracket_claim, by_report, by_status

if TYPE_CHECKING:
    from smsclick._database.engine import Database
    from smsclick.simulator import Simulator
    from tests.integration.conftest import MakeRuntime
    from worker.runtime import Runtime

HOUR = dt.timedelta(hours=1)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def sent(runtime: Runtime, count: int = 6, **values: object) -> list[int]:
    """Messages that the simulator accepted."""
    ids = insert(runtime.database, count, **values)
    one_sender.send(runtime, ids)
    return ids


def known(database: Database, simulator: Simulator, count: int, text: str = "hola") -> None:
    """Messages that the simulator accepted, without a request for each."""
    account = simulator._provider.account
    simulator.set(balance=10**9)
    accepted = simulator._call(lambda: [account.accept(PHONE, text, None) for _ in range(count)])
    now = clock(database)
    with database.begin() as connection:
        connection.execute(
            sa.insert(messages),
            [
                {
                    "key": f"known-{each.id_mensaje}",
                    "phone": PHONE,
                    "text": "x",
                    "state": State.SENT,
                    "attempts": 1,
                    "id_mensaje": each.id_mensaje,
                    "sent_at": now,
                    "due_at": LONG_AGO,
                }
                for each in accepted
                if each is not None
            ],
        )


def mark(database: Database, **values: Any) -> Any:  # noqa: ANN401 - any column; a Row
    """The youngest messages' watermark, written if values are given."""
    with database.begin() as connection:
        if values:
            connection.execute(sa.update(watermarks).values(**values))
        return connection.execute(sa.select(watermarks).order_by(watermarks.c.name)).first()


def read(runtime: Runtime) -> int:
    """The next report's time has come."""
    mark(runtime.database, due_at=LONG_AGO)
    return by_report.follow(runtime)


def requests(simulator: Simulator) -> dict[str, int]:
    made = simulator.stats().requests
    return {name: sum(made[name].values()) for name in ("report", "getMsg") if name in made}


def test_one_request_shows_the_status_of_all(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(reject_texts=["no"])
    sent(runtime, 4)
    sent(runtime, 3, text="no")
    runtime.client.send(PHONE, "of another system under the same key")
    assert read(runtime) == 7
    assert states(runtime.database) == ["delivered"] * 4 + ["rejected"] * 3
    assert requests(simulator) == {"report": 1}
    assert mark(runtime.database).lease_until is None
    assert mark(runtime.database).read_at is not None


def test_producers_are_notified_as_soon_as_a_report_shows_the_final_status(
    runtime: Runtime, wakeups: RecordingWakeups
) -> None:
    ids = sent(runtime, callback="celery:app.tasks.sms_changed@queue")
    wakeups.called_back.clear()
    assert read(runtime) == len(ids)
    assert wakeups.called_back.is_set()


def test_nobody_is_woken_where_no_producer_waits(runtime: Runtime, wakeups: RecordingWakeups) -> None:
    sent(runtime)
    assert read(runtime) == 6
    assert not wakeups.called_back.is_set()


def test_what_a_report_does_not_show_is_written_once_and_then_left_alone(
    runtime: Runtime, simulator: Simulator
) -> None:
    simulator.set(delivery_seconds=600)
    ids = sent(runtime)
    change(runtime.database, ids, due_at=LONG_AGO)
    assert read(runtime) == 0
    first = [row(runtime.database, each) for each in ids]
    assert all(each.due_at > clock(runtime.database) and each.polls == 1 for each in first)
    assert read(runtime) == 0
    assert [row(runtime.database, each) for each in ids] == first
    assert requests(simulator) == {"report": 2}


def test_while_reports_come_on_time_only_a_check_that_is_due_is_written_or_asked_for(
    runtime: Runtime, simulator: Simulator
) -> None:
    simulator.set(delivery_seconds=600)
    ids = sent(runtime)
    assert read(runtime) == 0
    assert {row(runtime.database, each).polls for each in ids} == {0}

    def due() -> list[int]:
        with runtime.database.read() as connection:
            return sorted(by_status.due(connection, 100))

    change(runtime.database, ids, due_at=clock(runtime.database) - dt.timedelta(seconds=2))
    assert due() == []  # the next report comes first
    mark(runtime.database, failures=1)
    assert due() == sorted(ids)
    mark(runtime.database, failures=0, distrusted_until=clock(runtime.database) + dt.timedelta(minutes=1))
    assert due() == sorted(ids)
    mark(runtime.database, distrusted_until=None, due_at=clock(runtime.database) - dt.timedelta(minutes=1))
    assert due() == sorted(ids)  # no report came
    mark(runtime.database, due_at=clock(runtime.database))
    change(runtime.database, ids, due_at=clock(runtime.database) - dt.timedelta(minutes=1))
    assert due() == sorted(ids)


def test_the_sweep_wakes_up_for_reports_that_answer_for_more_than_a_few(
    runtime: Runtime, wakeups: RecordingWakeups
) -> None:
    few = sent(runtime, windows.MOST_SINGLE_CHECKS)
    change(runtime.database, few, due_at=LONG_AGO)
    sweep.sweep(runtime, urgent=True)
    assert not wakeups.followed.is_set()
    assert sorted(each for ids in wakeups.polls for each in ids) == few
    assert by_report.follow(runtime) == 0
    sent(runtime, 1)
    sweep.sweep(runtime, urgent=True)
    assert wakeups.followed.is_set()
    assert by_report.follow(runtime) == windows.MOST_SINGLE_CHECKS + 1


def test_a_bracket_has_one_reader_and_is_read_again_after_its_death(runtime: Runtime, simulator: Simulator) -> None:
    sent(runtime)
    policy, [youngest, *_] = Policy.of(runtime.settings), windows.age_brackets(Policy.of(runtime.settings))
    assert runtime.database.transact(lambda connection: bracket_claim.claim(connection, youngest, runtime)) is not None
    with runtime.database.read() as connection:
        assert not bracket_claim.due(connection, policy)
    assert read(runtime) == 0
    mark(runtime.database, lease_until=LONG_AGO)
    assert read(runtime) == 6


def test_after_a_restart_a_round_goes_on_where_it_was(make_runtime: MakeRuntime, simulator: Simulator) -> None:
    runtime = make_runtime()
    begin = clock(runtime.database) - HOUR
    for number in range(12):
        for each in range(windows.MOST_SINGLE_CHECKS + 1):
            sent_at = begin + dt.timedelta(seconds=number * 60)
            id_mensaje = number * 10 + each + 1
            insert(
                runtime.database, state=State.SENT, id_mensaje=id_mensaje, sent_at=sent_at, due_at=sent_at + 9 * HOUR
            )
    by_report.follow(runtime)
    mark(runtime.database, density=1e6, cursor_at=None, due_at=LONG_AGO)
    before = requests(simulator)["report"]
    by_report.follow(runtime)
    half = mark(runtime.database)
    assert requests(simulator)["report"] - before == by_report.MOST_REPORTS_PER_CLAIM
    assert half.cursor_at == begin + dt.timedelta(seconds=(by_report.MOST_REPORTS_PER_CLAIM - 1) * 60)
    assert half.due_at <= clock(runtime.database)
    by_report.follow(make_runtime())
    # The slice at the cursor is read again: what became final meanwhile must not be skipped.
    assert requests(simulator)["report"] - before == 13
    assert mark(runtime.database).cursor_at is None
    assert mark(runtime.database).due_at > clock(runtime.database)


@pytest.mark.parametrize(
    "kind", [FaultKind.HTTP_503_BEFORE, FaultKind.HTML_AFTER, FaultKind.UNLISTED, FaultKind.RESET_AFTER]
)
@on_sqlite
def test_a_report_that_fails_leaves_its_messages_to_getmsg_and_is_asked_less_often(
    runtime: Runtime, simulator: Simulator, kind: FaultKind
) -> None:
    ids = sent(runtime)
    change(runtime.database, ids, due_at=LONG_AGO)
    simulator.faults([Fault(kind, endpoints=("report",))])
    waits = []
    for _ in range(3):
        assert read(runtime) == 0
        waits.append(mark(runtime.database).due_at - clock(runtime.database))
    assert waits[0] < waits[1] < waits[2]
    assert by_status.poll(runtime, ids, slice_seconds=60) == 6
    assert states(runtime.database) == ["delivered"] * 6


@on_sqlite
def test_rows_before_a_cut_are_used_and_silence_after_it_is_not(runtime: Runtime, simulator: Simulator) -> None:
    known(runtime.database, simulator, 600, "una frase larga " * 10)
    simulator.faults([Fault(FaultKind.CUT, endpoints=("report",), count=1)])
    found = read(runtime)
    assert 0 < found < 600
    with runtime.database.read() as connection:
        assert len(by_status.due(connection, 1000)) == 600 - found
    assert read(runtime) == 600 - found


def test_getmsg_keeps_within_a_budget_of_all_workers(runtime: Runtime, simulator: Simulator) -> None:
    known(runtime.database, simulator, 8)
    ids = _ids(runtime.database)
    began = clock(runtime.database)
    with runtime.database.begin() as connection:
        spent = status_check.take(connection, status_check.BURST - 5)
        assert status_check.left(connection) >= 5
    asked = by_status.poll(runtime, ids, slice_seconds=60)
    assert 5 <= asked <= 8
    spent += asked
    for _ in range(3):
        with runtime.database.begin() as connection:
            spent += status_check.take(connection, 10**6)
    asked_later = by_status.poll(runtime, ids, slice_seconds=60)
    assert asked_later <= 8 - asked
    spent += asked_later
    # What flowed in meanwhile, and no more, was there besides the bucket.
    seconds = (clock(runtime.database) - began).total_seconds()
    assert status_check.BURST <= spent <= status_check.BURST + seconds * status_check.CHECKS_PER_SECOND


def budget(database: Database, tokens: float, at: dt.datetime) -> None:
    """What is left of the budget, as of that time."""
    with database.begin() as connection:
        status_check.take(connection, 0)
        connection.execute(sa.update(budgets).values(tokens=tokens, at=at))


def test_getmsg_is_asked_no_more_often_than_what_is_left_allows(runtime: Runtime, simulator: Simulator) -> None:
    known(runtime.database, simulator, 8)
    ids = _ids(runtime.database)
    change(runtime.database, ids, due_at=LONG_AGO)
    # Nothing flows in: of the clock's future.
    budget(runtime.database, 2.5, dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
    assert by_status.poll(runtime, ids, slice_seconds=60) == 2
    assert requests(simulator) == {"getMsg": 2}
    with runtime.database.read() as connection:
        assert len(by_status.due(connection, 100)) == 6


def test_a_quiet_time_saves_up_no_more_than_one_burst(database: Database) -> None:
    budget(database, 0, LONG_AGO)
    with database.begin() as connection:
        assert status_check.left(connection) == status_check.BURST
        assert status_check.take(connection, 10**6) == status_check.BURST


def _ids(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.scalars(sa.select(messages.c.id)))


def test_a_report_that_lacks_what_getmsg_knows_is_untrusted_for_a_while(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(report_lag=3600)
    ids = sent(runtime, 8)
    now = clock(runtime.database)
    for number, message_id in enumerate(ids):
        # The probe, whichever it is, must lie within what is read next.
        at = now - dt.timedelta(seconds=5 if number in {0, 1} else 1 if number in {6, 7} else 3)
        change(runtime.database, [message_id], sent_at=at, due_at=LONG_AGO)
    read(runtime)
    mark(runtime.database, reads=by_report.REPORTS_PER_PROBE - 1)
    read(runtime)
    assert requests(simulator) == {"report": 2, "getMsg": 1}
    assert states(runtime.database).count("delivered") == 1
    ends = [each for each in ids if row(runtime.database, each).state == "sent"]
    read(runtime)
    assert mark(runtime.database).distrusted_until > clock(runtime.database)
    assert read(runtime) == 0
    assert requests(simulator)["report"] == 3
    change(runtime.database, ends, due_at=LONG_AGO)
    assert by_status.poll(runtime, ends, slice_seconds=60) == 7
    assert set(states(runtime.database)) == {"delivered"}


@on_sqlite
def test_slices_become_shorter_where_reports_are_dense(runtime: Runtime, simulator: Simulator) -> None:
    known(runtime.database, simulator, 500)
    simulator.set(delivery_seconds=0)
    read(runtime)
    seen = mark(runtime.database).density
    assert 1 < seen <= 500 / 100
    assert windows.longest_slice(seen * 100) < windows.longest_slice(seen)


def test_a_key_that_a_report_refuses_holds_the_account_once(
    runtime: Runtime, simulator: Simulator, wakeups: RecordingWakeups
) -> None:
    sent(runtime)
    simulator.faults([Fault(FaultKind.WRONG_KEY, endpoints=("report",))])
    assert read(runtime) + read(runtime) == 0
    assert requests(simulator) == {"report": 1}
    assert alert_events(runtime.database) == [("key_refused", "opened")]
    assert wakeups.alerted.is_set()


def test_a_reply_is_taken_from_a_report_that_is_read_anyway(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(reply_text="SÍ")
    [asked] = sent(runtime, 1, rule_id="1")
    change(runtime.database, [asked], state=State.DELIVERED, final_at=clock(runtime.database))
    sent(runtime)
    assert read(runtime) == 6
    found = row(runtime.database, asked)
    assert (found.state, found.reply, found.due_at) == ("delivered", "SÍ", None)


def test_a_reports_silence_never_ends_the_tracking_of_a_message(runtime: Runtime, simulator: Simulator) -> None:
    simulator.set(never_phones=[PHONE])
    ids = sent(runtime)
    week = dt.timedelta(seconds=runtime.settings.tracking_seconds)
    ends = clock(runtime.database) + dt.timedelta(minutes=5)
    change(runtime.database, ids, sent_at=ends - week, due_at=LONG_AGO)
    read(runtime)
    assert states(runtime.database) == ["sent"] * 6
    assert all(row(runtime.database, each).due_at <= ends for each in ids)


_READ = """
import datetime as dt, json, sys
from bench.reading import peak
from smsclick.provider.client import SmsclickClient
now = dt.datetime.now(dt.UTC)
before = peak()
with SmsclickClient(sys.argv[1], sys.argv[2]) as client:
    rows = sum(1 for _ in client.report_rows(now - dt.timedelta(hours=1), now + dt.timedelta(hours=1)))
print(json.dumps([rows, peak() - before]))
"""


@on_sqlite
def test_a_report_of_a_hundred_thousand_rows_is_read_in_little_memory(database: Database, simulator: Simulator) -> None:
    account = simulator._provider.account
    simulator.set(balance=10**9)
    simulator._call(lambda: [account.accept(PHONE, "x" * 140, None) for _ in range(100_000)])
    command = [sys.executable, "-c", _READ, KEY, simulator.base_url]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, timeout=200)
    rows, megabytes = json.loads(answer.stdout)
    assert rows == 100_000
    assert megabytes < 30  # all rows at once are more than 40
