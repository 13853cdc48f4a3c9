"""The background thread that publishes wake-ups: nothing that goes wrong in it ends it."""

from __future__ import annotations

from smsclick._wakeups.background_publisher import BackgroundPublisher


class Broken:
    """A transaction that cannot even say whether it goes on."""

    @property
    def is_active(self) -> bool:
        raise SystemExit


def test_what_fails_outside_of_publishing_costs_one_wake_up_and_not_the_thread() -> None:
    published: list[int] = []
    publisher = BackgroundPublisher(published.append)
    publisher.put(1, after=Broken())
    publisher.put(2)
    assert publisher.flush(60)
    assert published == [2]
