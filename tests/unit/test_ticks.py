"""Ticks that wait are merged, so that their queue is bounded; threads run them, and no tick stops another one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import wait_until
from worker.background import lines
from worker.background.runner import Runner
from worker.background.tick import FROM_BEAT, MOST_IDS, NAMES, URGENT, Tick, TickQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ticks = st.builds(
    Tick,
    st.sampled_from(NAMES),
    st.lists(st.integers(1, 1500), max_size=30).map(tuple),
    st.frozensets(st.sampled_from([URGENT, FROM_BEAT])),
)


@given(st.lists(ticks, max_size=40))
def test_one_tick_of_each_name_waits_and_does_the_work_of_all(put: list[Tick]) -> None:
    queue = TickQueue()
    for tick in put:
        queue.put(tick)
    found = queue.take_all()
    assert [tick.name for tick in found] == list(dict.fromkeys(tick.name for tick in put))
    for tick in found:
        same = [each for each in put if each.name == tick.name]
        assert tick.flags == frozenset().union(*(each.flags for each in same))
        assert tick.ids == tuple(dict.fromkeys(id_ for each in same for id_ in each.ids))[:MOST_IDS] or len(same) == 1
    assert not queue
    assert queue.take_all() == []


def test_the_ids_that_wait_are_bounded() -> None:
    queue = TickQueue()
    for start in range(0, 3 * MOST_IDS, 100):
        queue.put(Tick("poll", tuple(range(start, start + 100))))
    assert [tick.ids for tick in queue.take_all()] == [tuple(range(MOST_IDS))]


@given(st.lists(ticks, max_size=20), st.integers(1, 64))
def test_a_tick_crosses_the_pipe_whatever_its_pieces(put: list[Tick], size: int) -> None:
    data = b"".join(lines.encode(tick.as_json()) for tick in put)
    reader = lines.LineReader()
    read = [said for start in range(0, len(data), size) for said in reader.feed(data[start : start + size])]
    assert [Tick.of_json(said) for said in read] == put


@pytest.mark.parametrize(
    "data", [b"Traceback (most recent call last):\n", b"[]\n", b"1\n", b"x" * (lines.LONGEST_LINE + 1)]
)
def test_what_is_no_line_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"line|Expecting"):
        lines.LineReader().feed(data)


@pytest.mark.parametrize(
    "said", [{"tick": "none", "ids": [], "flags": []}, {"tick": "poll", "ids": ["x"], "flags": []}]
)
def test_what_is_no_tick_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"none|invalid literal"):
        Tick.of_json(said)


# --- The threads


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


def started(stopping: threading.Event, run: Callable[[Tick], None], **periods: float) -> Runner:
    runner = Runner(lambda _: None, periods, stopping)
    runner.start(run)
    return runner


def test_a_slow_tick_holds_up_no_other_one_and_is_not_run_twice_at_once(stopping: threading.Event) -> None:
    release, ran = threading.Event(), list[str]()

    def run(tick: Tick) -> None:
        ran.append(tick.name)
        if tick.name == "callbacks":
            release.wait(60)

    runner = started(stopping, run)
    runner.callbacks()
    wait_until(lambda: ran == ["callbacks"])
    for _ in range(5):
        runner.callbacks()
        runner.alerts()
    wait_until(lambda: "alerts" in ran)
    assert ran.count("callbacks") == 1
    release.set()
    wait_until(lambda: ran.count("callbacks") == 2)


def test_ids_are_polled_by_several_threads_at_once_and_each_once(stopping: threading.Event) -> None:
    together, polled = threading.Barrier(3), list[int]()

    def run(tick: Tick) -> None:
        polled.extend(tick.ids)
        together.wait(60)

    started(stopping, run).poll(range(60))
    wait_until(lambda: sorted(polled) == list(range(60)))


def test_a_tick_that_fails_is_logged_without_its_words_and_comes_again(
    stopping: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    ran = threading.Event()

    def run(_: Tick) -> None:
        if not ran.is_set():
            ran.set()
            raise ValueError("5551402211")

    runner = started(stopping, run)
    runner.follow()
    wait_until(lambda: runner.progress == 1)
    runner.follow()
    wait_until(lambda: runner.progress == 2)
    assert "A tick failed. tick=smsclick.follow error=ValueError" in caplog.text
    assert "5551402211" not in caplog.text


def test_ticks_come_without_beat(stopping: threading.Event) -> None:
    ran = list[str]()
    started(stopping, lambda tick: ran.append(tick.name), sweep=0.2, lag=0.2, retention=3600)
    wait_until(lambda: ran.count("sweep") > 2 and ran.count("lag") > 2)


def test_while_ticks_come_none_is_made(stopping: threading.Event) -> None:
    ran = list[str]()
    runner = started(stopping, lambda tick: ran.append(tick.name), sweep=3600, lag=0.1)
    runner.put(Tick("sweep"))
    wait_until(lambda: ran.count("lag") > 3)
    assert ran.count("sweep") == 1


def test_at_the_end_the_tick_under_way_ends_and_no_further_one_begins(stopping: threading.Event) -> None:
    began, release, ran = threading.Event(), threading.Event(), list[str]()

    def run(tick: Tick) -> None:
        began.set()
        release.wait(60)
        ran.append(tick.name)

    runner = started(stopping, run)
    runner.follow()
    assert began.wait(60)
    stopping.set()
    runner.alerts()
    assert not runner.close(0.05)
    release.set()
    assert runner.close(60)
    assert ran == ["follow"]
    assert not [thread for thread in runner.report() if thread.alive]
