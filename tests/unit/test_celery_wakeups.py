"""Wake-ups that workers publish for each other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from worker.app import CeleryWakeups, app

if TYPE_CHECKING:
    import pytest


def test_a_broker_that_does_not_answer_blocks_no_wakeup(monkeypatch: pytest.MonkeyPatch) -> None:
    """By structure, not by the clock: the broker does not answer until all have published."""
    release, asked, woken = threading.Event(), threading.Event(), []

    def send_task(task: str, **options: Any) -> None:  # noqa: ANN401
        asked.set()
        release.wait(60)
        woken.append((task, options["args"]))

    monkeypatch.setattr(app, "send_task", send_task)
    publisher = CeleryWakeups(app)
    publisher.send([1])
    assert asked.wait(60)
    publisher.send([1, 2])
    publisher.send([3])
    assert woken == []
    release.set()
    publisher.flush(60)
    assert woken == [("smsclick.send", ([1],)), ("smsclick.send", ([1, 2],)), ("smsclick.send", ([3],))]


def test_a_broker_error_raises_nothing_at_the_wakeup(monkeypatch: pytest.MonkeyPatch) -> None:
    def send_task(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(app, "send_task", send_task)
    publisher = CeleryWakeups(app)
    publisher.send([1])
    publisher.flush(60)


def test_what_only_this_process_does_needs_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    def send_task(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(app, "send_task", send_task)
    publisher = CeleryWakeups(app)
    for wake in (publisher.sweep, publisher.alerts, publisher.callbacks, publisher.follow, publisher.reconcile):
        wake()
    publisher.poll([1])
    publisher.flush(60)
