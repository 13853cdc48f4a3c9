"""Time that a test moves: limits of a minute are met at once, and a machine that is slow for seconds meets none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


START = 1_767_204_000.0
"""31-12-2025 12:00:00 in Mexico City."""


class Clock:
    """The simulator's clock, which a test sets by `now`."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class MovedTime:
    """Stands in for the module `time`: its monotonic clock runs as ever, and is ahead by as much as a test says."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        """As `time.monotonic`."""
        return time.monotonic() + self.ahead

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        return getattr(time, name)


def move_the_clients_time(monkeypatch: pytest.MonkeyPatch) -> MovedTime:
    """Let the provider's client measure its limits by a clock that the test moves."""
    moved = MovedTime()
    for module in (
        "smsclick._net.deadline",
        "smsclick.provider._http.call_record",
        "smsclick.provider._http.connection",
    ):
        monkeypatch.setattr(f"{module}.time", moved)
    return moved
