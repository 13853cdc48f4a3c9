"""How a process asks for further work: wake-ups carry ids only; a lost one costs time, never a message."""

from collections.abc import Sequence
from typing import Protocol


class Wakeups(Protocol):
    """Asks workers to look for work now."""

    def send(self, ids: Sequence[int]) -> None:
        """Messages that may be sent."""

    def poll(self, ids: Sequence[int]) -> None:
        """Messages whose status check is due."""

    def follow(self) -> None:
        """Reports about sent messages that are due."""

    def reconcile(self) -> None:
        """Attempts of unknown outcome that are due."""

    def alerts(self) -> None:
        """Alerts that are due."""

    def callbacks(self) -> None:
        """Callbacks that are due."""

    def sweep(self) -> None:
        """Sweep now."""
