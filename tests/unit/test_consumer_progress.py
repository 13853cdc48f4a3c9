"""When a consumer counts as stalled, and when it only waits for the broker."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from worker.broker import consumer_progress
from worker.broker.consumer_progress import LOOK_SECONDS, STALLED_SECONDS, ConsumerProgress


@dataclasses.dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class World:
    """A consumer and its broker, which live for some seconds at a time.

    Attributes:
        loop_runs: whether the consumer's loop runs.
        answers: whether the broker answers a look.
        unread: whether the queues hold messages.
        arrives: how often a message reaches the consumer; None: never.
    """

    clock: Clock = dataclasses.field(default_factory=Clock)
    loop_runs: bool = True
    answers: bool = True
    unread: bool = False
    arrives: float | None = None

    def __post_init__(self) -> None:
        self.progress = ConsumerProgress(self.clock)

    def live(self, seconds: float) -> None:
        for step in range(int(seconds)):
            self.clock.now += 1.0
            if self.loop_runs:
                self.progress.loop_ran()
            if self.arrives is not None and step % self.arrives == 0:
                self.progress.received()
            if step % LOOK_SECONDS == 0 and self.progress.look_due:
                self.progress.looked(answered=self.answers, unread=self.answers and self.unread)

    @property
    def stalled(self) -> bool:
        return any(thread.stalled for thread in self.progress.report())

    @property
    def waits_for(self) -> set[str | None]:
        return {thread.waits_for for thread in self.progress.report()}


LONG = 10 * STALLED_SECONDS


def test_a_process_without_a_consumer_reports_none() -> None:
    assert ConsumerProgress().report() == []
    assert not ConsumerProgress().look_due


@pytest.mark.parametrize(
    "well",
    [
        World(),  # nothing to do
        World(arrives=5),
        World(arrives=5, unread=True),  # more than it can handle at once
        World(arrives=14, unread=True),
        World(loop_runs=False, answers=False),  # it hangs on a broker that is away
        World(answers=False),
    ],
)
def test_a_consumer_that_receives_or_waits_for_its_broker_is_not_stalled(well: World) -> None:
    well.progress.loop_ran()
    for _ in range(int(LONG)):
        well.live(1 if well.arrives is None else 15)
        assert not well.stalled


@pytest.mark.parametrize("ill", [{"loop_runs": False}, {"unread": True}, {"loop_runs": False, "unread": True}])
def test_a_consumer_without_progress_on_a_live_broker_is_stalled_within_two_minutes(
    ill: dict[str, Any],
) -> None:
    world = World(arrives=5)
    world.live(LONG)
    world.arrives = None
    for name, value in ill.items():
        setattr(world, name, value)
    world.live(STALLED_SECONDS - LOOK_SECONDS)
    assert not world.stalled
    world.live(3 * LOOK_SECONDS)  # with the probes of containers this is below two minutes
    assert [thread.name for thread in world.progress.report() if thread.stalled] == ["smsclick-consumer"]


def test_a_consumer_that_receives_again_is_not_stalled() -> None:
    world = World(unread=True)
    world.live(LONG)
    assert world.stalled
    world.progress.received()
    assert not world.stalled


def test_missing_progress_counts_only_from_when_the_broker_answers_again() -> None:
    world = World(loop_runs=False, answers=False)
    world.progress.loop_ran()
    world.live(LONG)
    assert world.waits_for == {"broker"}
    world.answers = True
    world.live(STALLED_SECONDS)
    assert not world.stalled
    world.live(2 * LOOK_SECONDS)
    assert world.stalled


class App:
    """Celery's, with one queue of this length; None: its broker is away."""

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.amqp = SimpleNamespace(queues=SimpleNamespace(consume_from={"smsclick.ticks": None}))

    def connection_for_read(self) -> Any:  # noqa: ANN401 - as kombu has it
        if self.length is None:
            raise OSError("nobody")
        channel = SimpleNamespace(_size=lambda _: self.length)
        return nullcontext(SimpleNamespace(channel=lambda: nullcontext(channel)))


@pytest.mark.parametrize(
    ("length", "busy", "found"),
    [
        (None, False, {"answered": False}),
        (0, False, {"answered": True, "unread": False}),
        (3, False, {"answered": True, "unread": True}),
        (3, True, {"answered": True, "unread": False}),  # all threads for tasks are in use
    ],
)
def test_a_look_finds_unread_messages_that_free_threads_could_handle(
    length: int | None,
    busy: bool,  # noqa: FBT001 - a case's
    found: dict[str, bool],
) -> None:
    seen: list[dict[str, bool]] = []

    class Noted(ConsumerProgress):
        def looked(self, **result: bool) -> None:
            seen.append(result)

    clock = Clock()
    noted = Noted(clock)
    noted.loop_ran()
    consumer_progress.look(App(length), busy=lambda: busy, progress=noted)
    assert seen == [found]
    noted.received()
    consumer_progress.look(App(length), busy=lambda: busy, progress=noted)
    assert seen == [found]  # a consumer that receives is not looked at
