"""Beat: its queue stays short while nobody reads it, and a broker that fails costs one line a minute."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from celery import Celery
from celery.utils.imports import symbol_by_name

from tests.servers import free_port
from worker.app import app as ours
from worker.broker import beat
from worker.compat import celery_beat_wall_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUE = "smsclick.ticks"


def scheduler(broker_url: str) -> Any:  # noqa: ANN401 - Celery's
    app = Celery("beat", broker=broker_url, set_as_current=False)
    app.conf.update(task_routes={"smsclick.*": {"queue": QUEUE}}, task_ignore_result=True, result_backend=None)
    return beat.Scheduler(app=app)


class MakeScheduler(Protocol):
    def __call__(self, broker_url: str, *, declared: bool = True) -> Any:  # noqa: ANN401 - Celery's
        """Beat's scheduler; closed with the test."""


@pytest.fixture
def schedulers() -> Iterator[MakeScheduler]:
    made: list[Any] = []

    def make(broker_url: str, *, declared: bool = True) -> Any:  # noqa: ANN401
        made.append(scheduler(broker_url))
        if declared:
            # As a worker does; beat itself declares nothing.
            with made[-1].app.connection_for_write() as connection:
                made[-1].app.amqp.queues[QUEUE](connection.channel()).declare()
        return made[-1]

    yield make
    for each in made:
        each.close()


def entry(of: Any, seconds: float = 5) -> Any:  # noqa: ANN401
    configured = ours.conf.beat_schedule["sweep"]
    return of.Entry(app=of.app, name="sweep", task="smsclick.sweep", schedule=seconds, options=configured["options"])


def queued(of: Any) -> list[Any]:  # noqa: ANN401
    """What waits in the queue; taken out."""
    with of.app.connection_for_read() as connection:
        queue = connection.SimpleQueue(QUEUE)
        found: list[Any] = []
        while len(found) < 200:
            try:
                found.append(queue.get(block=False))
            except queue.Empty:
                break
            found[-1].ack()
        queue.close()
    return found


def test_on_redis_no_more_ticks_are_sent_while_nobody_reads_them(redis_url: str, schedulers: MakeScheduler) -> None:
    sending = schedulers(redis_url)
    for _ in range(3 * beat.UNREAD_TICKS_LIMIT):
        sending._backlog._looked_at.clear()  # as if a second had gone by
        sending.apply_entry(entry(sending))
    assert len(queued(sending)) == beat.UNREAD_TICKS_LIMIT
    sending._backlog._looked_at.clear()
    sending.apply_entry(entry(sending))
    assert len(queued(sending)) == 1


def test_on_rabbitmq_the_broker_itself_drops_what_is_old(rabbitmq_url: str, schedulers: MakeScheduler) -> None:
    sending = schedulers(rabbitmq_url)
    sending.apply_entry(entry(sending))
    (tick,) = queued(sending)
    assert tick.properties["expiration"] == "60000"


def test_no_tick_says_when_it_expires(broker_url: str, schedulers: MakeScheduler) -> None:
    sending = schedulers(broker_url)
    sending.apply_entry(entry(sending))
    assert [tick.headers["expires"] for tick in queued(sending)] == [None]
    assert all("expires" not in each["options"] for each in ours.conf.beat_schedule.values())


def test_a_call_that_says_when_it_expires_is_not_dropped_by_this_machines_clock() -> None:
    """As an older release's beat sends them. A producer's own call becomes a message with that validity."""
    for name in (each for each in ours.tasks if each.startswith("smsclick.")):
        kind = symbol_by_name(ours.tasks[name].Request)
        made = kind.__new__(kind)
        made._expires = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
        assert not made.maybe_expire()


def test_a_broker_that_is_away_costs_one_line_and_no_traceback(
    schedulers: MakeScheduler,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sending = schedulers(f"redis://127.0.0.1:{free_port()}/0", declared=False)
    for _ in range(3):
        sending.apply_entry(entry(sending))
    assert [record.getMessage().partition(" seconds=")[0] for record in caplog.records] == [
        "The broker does not accept ticks; messages wait in the database. reason=ConnectionRefusedError"
    ]
    assert caplog.records[0].exc_info is None


def test_ticks_go_on_when_the_broker_is_there_again(
    redis_url: str,
    schedulers: MakeScheduler,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sending = schedulers(redis_url)
    port = sending.app.conf.broker_url
    sending.apply_entry(entry(sending))
    queued(sending)
    sending.app.conf.broker_url = sending.app.conf.broker_write_url = f"redis://127.0.0.1:{free_port()}/0"
    sending._disconnect()
    sending.apply_entry(entry(sending))
    sending.app.conf.broker_url = sending.app.conf.broker_write_url = port
    sending.apply_entry(entry(sending))
    assert len(queued(sending)) == 1
    assert "The broker accepts ticks again" in caplog.text


def test_the_machines_wall_clock_takes_no_part_in_when_a_tick_is_due() -> None:
    """Celery's entries read it through the app; ours measure."""
    made: Any = celery_beat_wall_clock.MonotonicEntry(app=ours, name="sweep", task="smsclick.sweep", schedule=5)
    assert made.schedule.nowfun is celery_beat_wall_clock.monotonic_now
    assert not made.is_due()[0]
    made.last_run_at -= dt.timedelta(seconds=6)
    assert made.is_due()[0]
    assert next(made).schedule.nowfun is celery_beat_wall_clock.monotonic_now
