"""A tick that waits, and the queue of ticks: bounded, because equal ticks are merged."""

import dataclasses
import threading
from collections import OrderedDict
from typing import Any

NAMES = ("sweep", "look", "follow", "poll", "reconcile", "lag", "balance", "alerts", "callbacks", "retention")
"""All ticks, as in `smsclick.NAME`; only `look` has no task, because each process decides by itself when it looks."""

URGENT = "urgent"
"""Flag of a sweep: run it even if another process has just run one."""

FROM_BEAT = "from beat"
"""Flag of a sweep: beat sent it."""

MOST_IDS = 1000
"""A waiting poll has at most so many ids; the next look finds the rest."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tick:
    """One tick.

    Attributes:
        name: one of `NAMES`.
        ids: row ids, of `poll` only.
        flags: `URGENT`, `FROM_BEAT`.
    """

    name: str
    ids: tuple[int, ...] = ()
    flags: frozenset[str] = frozenset()

    def merged(self, other: "Tick") -> "Tick":
        """One tick that does the work of both."""
        ids = tuple(dict.fromkeys((*self.ids, *other.ids)))[:MOST_IDS]
        return Tick(self.name, ids, self.flags | other.flags)

    def split(self, most: int) -> tuple["Tick", "Tick | None"]:
        """A tick of at most so many ids, and one of the rest; None where nothing is left."""
        rest = self.ids[most:]
        return dataclasses.replace(self, ids=self.ids[:most]), dataclasses.replace(self, ids=rest) if rest else None

    def as_json(self) -> dict[str, Any]:
        """What `of_json` reads."""
        return {"tick": self.name, "ids": list(self.ids), "flags": sorted(self.flags)}

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> "Tick":
        """The tick that `as_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        name = str(values["tick"])
        if name not in NAMES:
            raise ValueError(name)
        return cls(name, tuple(int(each) for each in values["ids"]), frozenset(str(each) for each in values["flags"]))


class TickQueue:
    """Ticks that wait, in order; one of a name at most. Safe from any thread, and never blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, Tick] = OrderedDict()

    def put(self, tick: Tick) -> None:
        """Add a tick; it is merged with one of its name that waits already."""
        with self._lock:
            waiting = self._waiting.get(tick.name)
            self._waiting[tick.name] = tick if waiting is None else waiting.merged(tick)

    def take_all(self) -> list[Tick]:
        """Remove and return what waits."""
        with self._lock:
            ticks = list(self._waiting.values())
            self._waiting.clear()
        return ticks

    def __bool__(self) -> bool:
        """Whether any tick waits."""
        return bool(self._waiting)
