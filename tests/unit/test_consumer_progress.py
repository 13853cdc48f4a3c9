"""When a consumer counts as stalled, and when the broker is to blame."""

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
        turns: the consumer's loop.
        answers: the broker, when it is looked at.
        unread: what lies in the queues.
        arrives: how often a message reaches the consumer; None: never.
    """

    clock: Clock = dataclasses.field(default_factory=Clock)
    turns: bool = True
    answers: bool = True
    unread: bool = False
    arrives: float | None = None

    def __post_init__(self) -> None:
        self.listening = ConsumerProgress(self.clock)

    def live(self, seconds: float) -> None:
        for step in range(int(seconds)):
            self.clock.now += 1.0
            if self.turns:
                self.listening.turned()
            if self.arrives is not None and step % self.arrives == 0:
                self.listening.received()
            if step % LOOK_SECONDS == 0 and self.listening.wants_look:
                self.listening.looked(answered=self.answers, unread=self.answers and self.unread)

    @property
    def stalled(self) -> bool:
        return any(thread.stalled for thread in self.listening.report())

    @property
    def waits_for(self) -> set[str | None]:
        return {thread.waits_for for thread in self.listening.report()}


LONG = 10 * STALLED_SECONDS


def test_a_process_without_a_consumer_says_nothing_of_it() -> None:
    assert ConsumerProgress().report() == []
    assert not ConsumerProgress().wants_look


@pytest.mark.parametrize(
    "well",
    [
        World(),  # nothing to do
        World(arrives=5),
        World(arrives=5, unread=True),  # more than it can take at once
        World(arrives=14, unread=True),
        World(turns=False, answers=False),  # it hangs on a broker that is away
        World(answers=False),
    ],
)
def test_a_consumer_that_takes_what_there_is_or_waits_for_its_broker_is_well(well: World) -> None:
    well.listening.turned()
    for _ in range(int(LONG)):
        well.live(1 if well.arrives is None else 15)
        assert not well.stalled


@pytest.mark.parametrize("ill", [{"turns": False}, {"unread": True}, {"turns": False, "unread": True}])
def test_one_that_stands_still_while_its_broker_answers_is_reported_within_two_minutes(ill: dict[str, Any]) -> None:
    world = World(arrives=5)
    world.live(LONG)
    world.arrives = None
    for name, value in ill.items():
        setattr(world, name, value)
    world.live(STALLED_SECONDS - LOOK_SECONDS)
    assert not world.stalled
    world.live(3 * LOOK_SECONDS)  # with the probes of containers this is below two minutes
    assert [thread.name for thread in world.listening.report() if thread.stalled] == ["smsclick-consumer"]


def test_one_that_takes_messages_again_is_well_at_once() -> None:
    world = World(unread=True)
    world.live(LONG)
    assert world.stalled
    world.listening.received()
    assert not world.stalled


def test_what_is_missing_counts_only_from_when_the_broker_answers_again() -> None:
    world = World(turns=False, answers=False)
    world.listening.turned()
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
        (3, True, {"answered": True, "unread": False}),  # all threads for tasks are taken
    ],
)
def test_a_look_tells_what_lies_unread_although_it_could_be_taken(
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
    noted.turned()
    consumer_progress.look(App(length), busy=lambda: busy, listening=noted)
    assert seen == [found]
    noted.received()
    consumer_progress.look(App(length), busy=lambda: busy, listening=noted)
    assert seen == [found]  # what receives needs no look
