"""How each kind of incident comes about and ends, with the real functions of a worker on a clock that a test moves."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from smsclick.contract import messages
from smsclick.simulator import Fault, FaultKind
from tests import odd_rows, webhook_receiver
from worker.account import holds, usage
from worker.alerting import incidents
from worker.alerting.kinds import KINDS
from worker.callbacks.dispatcher import CallbackDispatcher
from worker.database_clock.clock import DatabaseClock
from worker.intake import by_name
from worker.maintenance import balance
from worker.monitoring.beat_watch import BeatWatch
from worker.monitoring.progress_checks import Limits, ProgressChecks
from worker.reconciliation import old_unknown
from worker.restore import hold as restore_hold
from worker.restore import recovery
from worker.sql import heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.timelapse import Timelapse

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
LOST = "perdido"
"""Stands in the texts of messages that a fault hits."""


class Life:
    """An installation whose traffic, ticks and checks go on by its clock."""

    def __init__(self, lapse: Timelapse) -> None:
        self.lapse = lapse
        self.checks = ProgressChecks(Limits(confirm=0))
        self._numbers = itertools.count()

    def enqueue(self, count: int = 1, *, every: float = 0.0, text: str = "en camino", **values: object) -> list[int]:
        """Messages are committed, due one after the other from now on."""
        rows = [
            {"phone": f"55514{n:05d}", "text": f"Pedido {n} {text} {'.' * 40}", "key": f"k{n}"} | values
            for n in itertools.islice(self._numbers, count)
        ]
        return self.lapse.enqueue(rows, every=every)

    def minutes(self, count: int, per_minute: int, **values: Any) -> None:  # noqa: ANN401 - as `enqueue` takes them
        """So many minutes pass, with so many messages in each."""
        for _ in range(count):
            self.enqueue(per_minute, every=60 / per_minute, **values)
            self.lapse.live(60, send_every=20, tick_every=60)
            usage.count(self.lapse.database)

    def number(self) -> int:
        """One that no message has yet."""
        return next(self._numbers)

    def wait(self, seconds: float) -> None:
        """Time passes in which nothing happens."""
        self.lapse.clock.wait(seconds)

    def check(self) -> None:
        """What a worker's watchdog does."""
        usage.count(self.lapse.database)
        self.lapse.database.transact(self.checks.check)

    def remind(self) -> None:
        """What a sweep does about incidents."""
        self.lapse.database.transact(incidents.tick)


@dataclasses.dataclass(frozen=True, slots=True)
class Story:
    """How one kind of incident comes about and ends.

    Attributes:
        begin: provokes the problem. Where the incident ends by itself after a quiet time, it is called twice.
        end: removes the cause; None where nothing but the quiet time ends it.
        settings: of the worker, in capitals, and of the simulator.
    """

    begin: Callable[[Life], None]
    end: Callable[[Life], None] | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


def alert_times(life: Life, kind: str, story: Story) -> Iterator[str]:
    """Live through a story; yields after each part of it, when alerts are to be delivered.

    Args:
        life: of the installation.
        kind: of the incident.
        story: of that kind.
    """
    story.begin(life)
    yield "opened"
    life.check()
    yield "nothing"
    about = KINDS[kind]
    if about.quiet_seconds is not None and story.end is None:
        # It would be over before its reminder if it did not occur again.
        life.wait(about.remind_seconds / 2)
        story.begin(life)
        yield "nothing"
        life.wait(about.remind_seconds / 2 + 60)
    else:
        life.wait(about.remind_seconds + 60)
    life.remind()
    yield "reminder"
    if story.end is None:
        assert about.quiet_seconds is not None, f"nothing ends {kind}"
        life.wait(about.quiet_seconds + 60)
        life.remind()
    else:
        story.end(life)
    yield "closed"
    life.remind()
    yield "nothing"


# --- Of the account


def _no_credits(life: Life) -> None:
    life.lapse.simulator.set(balance=0)
    life.minutes(1, 3)


def _credits(life: Life) -> None:
    life.lapse.simulator.set(balance=10_000_000)
    life.minutes(5, 1)


def _refuse(kind: FaultKind, *endpoints: Any) -> Callable[[Life], None]:  # noqa: ANN401 - names of endpoints
    def begin(life: Life) -> None:
        life.lapse.simulator.faults([Fault(kind=kind, endpoints=endpoints)])
        life.minutes(3, 10)

    return begin


def _answer(life: Life) -> None:
    life.lapse.simulator.faults()
    life.minutes(15, 1)


def _few_credits(life: Life) -> None:
    life.wait(MINUTE)
    life.lapse.simulator.set(balance=40)
    life.wait(MINUTE)
    balance.check(life.lapse.runtime)


def _enough_credits(life: Life) -> None:
    life.lapse.simulator.set(balance=4000)
    balance.check(life.lapse.runtime)


def _credits_for_hours(life: Life) -> None:
    life.minutes(12, 10)
    life.check()


def _reject_all(life: Life) -> None:
    life.lapse.simulator.set(reject_rate=1.0)
    life.minutes(8, 10)
    # Until each is known to be rejected: one that is found a day later would count as recent.
    life.lapse.live(600, send_every=60, tick_every=60)
    life.check()


def _charge_more(life: Life) -> None:
    life.lapse.simulator.set(characters_per_credit=20)
    life.minutes(3, 10)
    life.check()


def _answer_slowly(life: Life) -> None:
    life.lapse.clock.provider_seconds = 3.0  # and it reads its clock twice for each answer
    life.minutes(8, 6)
    life.check()


def _all_is_well(life: Life) -> None:
    life.lapse.clock.provider_seconds = 0.0
    life.lapse.simulator.set(balance=10_000_000, reject_rate=0.0, characters_per_credit=150)
    life.minutes(14, 10)
    life.check()


# --- Of attempts


def _an_unlisted_code(life: Life) -> None:
    life.lapse.simulator.faults([Fault(kind=FaultKind.UNLISTED, code=-999)])
    life.enqueue()
    for _ in range(12):
        life.wait(HOUR / 4)
        life.lapse.send()
    life.lapse.simulator.faults()


def _a_deleted_row(life: Life) -> None:
    [message_id] = life.enqueue()

    def delete() -> None:
        with life.lapse.database.begin() as connection:
            connection.execute(sa.delete(messages).where(messages.c.id == message_id))

    life.lapse.send(claimed=delete)


def _an_odd_row(life: Life) -> None:
    odd = odd_rows.Odd("Latin-1 in the text", {"text": "CAST(x'f161' AS TEXT)"})
    odd_rows.insert(life.lapse.database, odd, life.number())
    life.wait(MINUTE)
    life.lapse.send()


def _unknown_while_no_report_comes(life: Life) -> None:
    life.lapse.simulator.faults(
        [Fault(kind=FaultKind.RESET_AFTER), Fault(kind=FaultKind.HTTP_503_BEFORE, endpoints=("report",))]
    )
    life.enqueue()
    life.lapse.send()
    life.wait(HOUR)
    old_unknown.watch(life.lapse.runtime)


def _the_report_comes(life: Life) -> None:
    _answer(life)
    old_unknown.watch(life.lapse.runtime)


def _the_report_lags(life: Life) -> None:
    life.lapse.simulator.set(report_lag=6 * HOUR)
    life.minutes(12, 1)


def _the_report_is_quick(life: Life) -> None:
    life.lapse.simulator.set(report_lag=0)
    life.minutes(30, 1)


def _half_is_unknown(life: Life) -> None:
    life.lapse.simulator.faults([Fault(kind=FaultKind.RESET_AFTER, text_contains=LOST)])
    for _ in range(25):
        life.enqueue(text=LOST)
        life.lapse.send()
        life.enqueue()
        life.lapse.send()
    life.check()


def _all_is_answered(life: Life) -> None:
    life.lapse.simulator.faults()
    life.minutes(10, 10)
    life.check()


def _many_are_absent(life: Life) -> None:
    life.lapse.simulator.faults([Fault(kind=FaultKind.RESET_BEFORE, text_contains=LOST, count=15)])
    for _ in range(15):
        life.enqueue(text=LOST)
        life.lapse.send()
        life.enqueue(2)
        life.lapse.send()
    life.minutes(20, 2)
    life.check()


def _no_status(life: Life) -> None:
    """Two messages whose windows end half a day apart; the second call finds the second one."""
    if not life.lapse.rows():
        life.lapse.simulator.set(never_rate=1.0)
        life.enqueue(2, every=DAY / 2)
        life.lapse.send()
        life.wait(DAY / 2)
        life.lapse.send()
        life.wait(6.5 * DAY)
    life.wait(HOUR)
    life.lapse.tick()


def _restore(life: Life) -> None:
    runtime = life.lapse.runtime
    life.minutes(5, 2)
    since = life.lapse.clock.read()
    life.enqueue()
    life.wait(MINUTE)
    recovery.recover(runtime.database, since, runtime.account, actor="ana")


def _all_is_looked_for(life: Life) -> None:
    life.lapse.live(600, send_every=60, tick_every=60)
    life.lapse.database.transact(restore_hold.end_if_looked_for)


# --- Of what should happen and does not


def _heartbeats(life: Life) -> None:
    for name in ("sweep", "beat"):
        heartbeat.take(life.lapse.database, name, 5)


def _ticks_stop(life: Life) -> None:
    _heartbeats(life)
    life.wait(5 * MINUTE)
    life.check()


def _ticks_come(life: Life) -> None:
    _heartbeats(life)
    life.check()


def _nobody_sends(life: Life) -> None:
    life.enqueue(3)
    life.wait(20 * MINUTE)
    life.check()


def _somebody_sends(life: Life) -> None:
    life.lapse.send()
    life.check()


def _watch(life: Life) -> None:
    watch = BeatWatch(life.lapse.runtime.settings, Limits(confirm=0))
    life.lapse.database.transact(watch._judge)
    watch.close()


def _workers_die(life: Life) -> None:
    heartbeat.beat(life.lapse.database, "worker:here:1", 1)
    life.wait(5 * MINUTE)
    _watch(life)


def _workers_come_back(life: Life) -> None:
    heartbeat.beat(life.lapse.database, "worker:here:2", 1)
    _watch(life)


def _hold(life: Life) -> None:
    life.lapse.database.transact(holds.hold_by_operator)
    life.wait(2 * HOUR)
    life.check()


def _resume(life: Life) -> None:
    life.lapse.database.transact(holds.lift_operator_hold)
    life.check()


def _set_the_clock(life: Life) -> None:
    process = DatabaseClock(10 * DAY, measure=lambda: 0.0)
    process.read(life.lapse.database)
    life.wait(600)
    process.read(life.lapse.database)


# --- Of producers


def _a_bad_call(life: Life) -> None:
    by_name.accept(life.lapse.runtime, "task-1", {"phone": "55 5140 2211"})


def _call_back(life: Life) -> None:
    dispatcher = CallbackDispatcher(life.lapse.database, life.lapse.runtime.settings, None)
    for _ in range(12):
        life.wait(HOUR)
        dispatcher.deliver(threading.Event())
    dispatcher.close()


def _the_receiver_refuses(life: Life) -> None:
    with webhook_receiver.Hook(lambda _: 500) as hook:
        life.enqueue(callback=hook.url)
        life.lapse.live(60, send_every=20, tick_every=60)
        _call_back(life)


def _the_receiver_acknowledges(life: Life) -> None:
    with webhook_receiver.Hook() as hook:
        with life.lapse.database.begin() as connection:
            connection.execute(sa.text("UPDATE smsclick_callbacks SET target = :url"), {"url": hook.url})
        _call_back(life)


STORIES = {
    "no_balance": Story(_no_credits, _credits),
    "key_refused": Story(_refuse(FaultKind.WRONG_KEY, "sendMsg", "credits"), _answer),
    "provider_down": Story(_refuse(FaultKind.HTTP_503_BEFORE, "sendMsg", "credits"), _answer),
    "low_balance": Story(_few_credits, _enough_credits, {"SMSCLICK_LOW_BALANCE": 50}),
    "balance_ends": Story(_credits_for_hours, _all_is_well, {"balance": 5000}),
    "many_rejected": Story(_reject_all, _all_is_well),
    "credits_differ": Story(_charge_more, _all_is_well),
    "provider_slow": Story(_answer_slowly, _all_is_well),
    "unlisted_code": Story(_an_unlisted_code),
    "lost_id": Story(_a_deleted_row),
    "odd_row": Story(_an_odd_row),
    "old_unknown": Story(_unknown_while_no_report_comes, _the_report_comes),
    "report_lag": Story(_the_report_lags, _the_report_is_quick),
    "many_unknown": Story(_half_is_unknown, _all_is_answered),
    "many_absent": Story(_many_are_absent, _all_is_answered),
    "undetermined": Story(_no_status),
    "restored": Story(_restore, _all_is_looked_for),
    "no_ticks": Story(_ticks_stop, _ticks_come),
    "old_due": Story(_nobody_sends, _somebody_sends),
    "no_records": Story(_nobody_sends, _somebody_sends),
    "no_workers": Story(_workers_die, _workers_come_back),
    "operator_hold": Story(_hold, _resume),
    "clock_step": Story(_set_the_clock),
    "bad_call": Story(_a_bad_call),
    "callback_failed": Story(
        _the_receiver_refuses,
        _the_receiver_acknowledges,
        {
            "SMSCLICK_WEBHOOK_SECRET": webhook_receiver.SECRET,
            "SMSCLICK_WEBHOOK_HOSTS": "127.0.0.1",
            "SMSCLICK_WEBHOOK_ALLOW_PRIVATE": "true",
        },
    ),
}
"""By the kind's name; a test fails where a kind has none."""
