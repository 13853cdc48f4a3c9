"""How many rows one claim may have, so that it does not last long. Pure.

What a claim brings is called for only when its transaction is committed, and a message that becomes due meanwhile
waits for its end. So a claim that would last longer than `SECONDS` is made of fewer rows, on a slow or busy machine.
How long a row takes is learnt from the claims before. Why: docs/decisions/0076-high-messages-behind-a-bulk.md.
"""

import dataclasses

SECONDS = 0.05
"""What one claim should take at most."""

LEAST_ROWS = 50
"""With fewer rows, most of a claim's time would go into what does not depend on their number."""

_WEIGHT = 0.3
"""Of the last claim, among those before it."""


@dataclasses.dataclass(slots=True)
class ClaimSize:
    """The limit of one process. Not thread-safe: one thread uses it.

    Attributes:
        most: the highest limit.
    """

    most: int
    _row_seconds: float = 0.0

    @property
    def rows(self) -> int:
        """How many rows the next claim may have."""
        if not self._row_seconds:
            return self.most
        return max(min(self.most, LEAST_ROWS), min(self.most, int(SECONDS / self._row_seconds)))

    def took(self, rows: int, seconds: float) -> None:
        """Note how long a claim of so many rows took; a small one proves little, and does not count."""
        if rows < min(self.most, LEAST_ROWS):
            return
        row_seconds = seconds / rows
        self._row_seconds += (row_seconds - self._row_seconds) * (_WEIGHT if self._row_seconds else 1.0)
