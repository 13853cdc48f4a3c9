"""How a process asks for further work: wake-ups carry ids only; a lost one costs time, never a message."""

from collections.abc import Sequence
from typing import Protocol


class Wakeups(Protocol):
    """Rings for work by ids; a lost ring costs time, never a message."""

    def send(self, ids: Sequence[int]) -> None:
        """Messages that may be sent."""

    def poll(self, ids: Sequence[int]) -> None:
        """Messages whose status check is due."""

    def follow(self) -> None:
        """Reports about sent messages that are due."""

    def reconcile(self) -> None:
        """Attempts of unknown outcome whose turn it is."""

    def alerts(self) -> None:
        """News that waits to be delivered."""

    def callbacks(self) -> None:
        """Producers that wait to be told."""

    def sweep(self) -> None:
        """Look for everything."""
