"""What goes wrong on purpose, one thing after the other and some at once, in an order that the seed decides."""

import dataclasses
import logging
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from tests.chaos.stack import LEASE, Slot, Stack
from tests.chaos.victim import POINTS
from tests.processes import Process, descendants, signal_all

log = logging.getLogger(__name__)

_NAMED: Final = ("claimed", "in_flight", "answered", "recording")
"""The points that the issue names; they come more often than the others."""

_WEIGHTS: Final = {
    **dict.fromkeys(_NAMED, 8),
    "worker": 12,
    "beat": 6,
    "background": 6,
    "pause": 4,
    "clock": 4,
    "partition": 4,
    "broker_loss": 4,
    "database_crash": 4,
    "read_only": 4,
    "prefix": 4,
    "odd_rows": 4,
    "clock_step": 4,
    **{point: 2 for point in POINTS if point not in _NAMED},
}
KINDS: Final = tuple(_WEIGHTS)
"""Everything that can be done to a stack."""

_NOT_EMBEDDED: Final = ("beat", "partition", "broker_loss", "database_crash", "read_only", "clock_step")
_ODD_ROWS: Final = ("estatus", "null_text", "null_phone", "bad_date", "null_date", "decimal_id", "panel")
_CLOCKS: Final = (-86_400.0, -3600.0, -45.0, -6.0, 6.0, 45.0, 3600.0, 86_400.0)
_STEPS: Final = ("-60s", "+60s")
"""Of the database's clock, and back: far more than a lease and SETTLE, less than a date of the report may be off."""

_STEPS_AFTER: Final = 90.0
"""Seconds of traffic before the first step, and between two: where the clock goes back and then forward, an attempt of
unknown outcome may have begun that much earlier, so the control rows before it must be older."""

_PATIENCE: Final = 8.0
"""Seconds for a process to come to the point where it dies."""

_TRIES: Final = 3


def plan(kinds: Sequence[str], kills: int, rng: random.Random) -> list[str]:
    """So many mischiefs: each kind at least once where there is room, the rest by weight, shuffled."""
    chosen = list(kinds[:kills])
    chosen += rng.choices(kinds, [_WEIGHTS[kind] for kind in kinds], k=kills - len(chosen))
    rng.shuffle(chosen)
    return chosen


def kinds_of(stack: Stack) -> list[str]:
    """What can be done to this stack."""
    left_out = set(_NOT_EMBEDDED) if stack.kind == "sqlite-embedded" else set()
    if not stack.clock_can_be_set:
        left_out.add("clock_step")
    return [kind for kind in _WEIGHTS if kind not in left_out]


@dataclasses.dataclass
class _Later:
    at: float
    act: Callable[[], None]
    name: str = ""


class Mischief:
    """Does it, and undoes what must be undone.

    Args:
        stack: to whom.
        rng: by which chance.
        more: asks for more traffic for so many seconds.
    """

    def __init__(self, stack: Stack, rng: random.Random, more: Callable[[float], None]) -> None:
        self._stack = stack
        self._rng = rng
        self._more = more
        self._later: list[_Later] = []
        self._no_step_until = time.monotonic() + _STEPS_AFTER
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def run(self, kinds: Sequence[str], deadline: float, progress: Callable[[int], None]) -> None:
        """All of them, unless the time is up."""
        left = list(kinds)
        tries: Counter[str] = Counter()
        while left and time.monotonic() < deadline:
            kind = left.pop(0)
            if self._do(kind):
                self.done[kind] += 1
            else:
                # Nobody came by in time; the whole is as long as was asked for.
                tries[kind] += 1
                self.failed[kind] += 1
                left.append(kind if tries[kind] < _TRIES else "worker")
            progress(self.done.total())
            self.wait(self._rng.uniform(0.1, 0.5))
        while self._later:
            self.wait(0.1)

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Time passes: processes are replaced, and what was to be undone is."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for later in [each for each in self._later if each.at <= now]:
                self._later.remove(later)
                later.act()
            self._stack.supervise()
            if until():
                return True
            if now >= end:
                return False
            time.sleep(0.05)

    def _do(self, kind: str) -> bool:
        slots = self._stack.beats if kind == "beat" else self._stack.workers
        # One worker may be away for each mischief; the others carry the load, or no request would be in flight.
        enough = min(2, len(slots))
        if kind in {"broker_loss", "database_crash"}:
            self.wait(30, lambda: sum(slot.free for slot in slots) >= enough)
            log.info("chaos: %s", kind)
            (self._stack.lose_broker if kind == "broker_loss" else self._stack.crash_database)()
            return True
        if kind in {"read_only", "prefix", "odd_rows", "clock_step"}:
            return self._habit(kind)
        self.wait(30, lambda: sum(slot.free for slot in slots) >= enough)
        free = [slot for slot in slots if slot.free]
        if kind == "partition":
            free = [slot for slot in free if slot.proxied]
        if not free:
            return False
        slot = self._rng.choice(free)
        log.info("chaos: %s %s.%03d", kind, slot.name, slot.generation)
        match kind:
            case "worker" | "beat":
                self._kill(slot)
                return True
            case "background":
                return slot.process is not None and self._kill_children(slot.process)
            case "pause":
                return self._pause(slot)
            case "clock":
                return self._clock(slot)
            case "partition":
                return self._partition(slot)
            case _:
                return self._at_point(slot, kind)

    def _kill(self, slot: Slot) -> None:
        slot.condemned = True
        if slot.process is not None:
            slot.process.sigkill()

    def _kill_children(self, process: Process) -> bool:
        """Kill the worker's background process alone; false where it has none just now."""
        children = descendants(process.pid)
        signal_all(children, signal.SIGKILL)
        return bool(children)

    def _at_point(self, slot: Slot, point: str) -> bool:
        """Order its process to die at this point, at one of the next passings."""
        slot.condemned = True
        orders = self._stack.orders(slot)
        process = slot.process
        staged = orders.with_suffix(".new")
        staged.write_text(f"{point} {self._rng.choice((1, 1, 2, 5))}")
        staged.rename(orders)
        slot.busy_until = time.monotonic() + _PATIENCE
        self._more(_PATIENCE)
        reached = self.wait(_PATIENCE, lambda: process is not slot.process or not slot.running)
        self._more(0)
        slot.busy_until = 0.0
        if not reached:
            orders.unlink(missing_ok=True)
            slot.condemned = False
        return process is not None and f"chaos: killed at {point}" in process.output

    def _pause(self, slot: Slot) -> bool:
        """Stand still beyond the lease, and go on as if nothing had been."""
        process = slot.process
        if process is None:
            return False
        seconds = LEASE + self._rng.uniform(0.5, 1.5)
        process.sigstop()
        slot.busy_until = time.monotonic() + seconds + 1
        if slot.role == "up":
            # Whoever watches it starts another; the first one comes back and there are two.
            self._stack.spawn(slot)
            self._undo(seconds, process.sigcont)
            self._undo(seconds + 4, process.end)
        else:
            self._undo(seconds, process.sigcont)
        return True

    def _clock(self, slot: Slot) -> bool:
        """A machine whose date is wrong takes the place of one whose date was right."""
        self._kill(slot)
        off = self._rng.choice(_CLOCKS)
        process = self._stack.spawn(slot, clock_off=off)
        seconds = self._rng.uniform(5, 9)
        slot.busy_until = time.monotonic() + seconds + 0.5

        def right_again() -> None:
            if slot.process is process:
                self._kill(slot)

        self._undo(seconds, right_again)
        return True

    def _partition(self, slot: Slot) -> bool:
        proxy = self._stack.proxy
        if proxy is None:
            return False
        seconds, reset = LEASE + self._rng.uniform(0.5, 2), self._rng.random() < 0.5
        proxy.cut()
        slot.busy_until = time.monotonic() + seconds + 1
        self._undo(seconds, lambda: proxy.restore(reset=reset))
        return True

    def _habit(self, kind: str) -> bool:
        """The database takes no writes, its clock is wrong, or the report looks otherwise, for some seconds."""
        if any(later.name == kind for later in self._later):
            return False
        if kind == "clock_step" and time.monotonic() < self._no_step_until:
            return False
        seconds = self._rng.uniform(2, 5)
        log.info("chaos: %s for %.1f s", kind, seconds)
        match kind:
            case "read_only":
                self._stack.refuse_writes()
                self._undo(seconds, self._stack.take_writes, kind)
            case "clock_step":
                self._no_step_until = time.monotonic() + _STEPS_AFTER
                self._stack.set_clock(self._rng.choice(_STEPS))
                self._undo(seconds, lambda: self._stack.set_clock("+0s"), kind)
            case "prefix":
                self._stack.simulator.set(text_prefix="ACME: ")
                self._undo(seconds, lambda: self._stack.simulator.set(text_prefix=""), kind)
            case _:
                odd = self._rng.sample(_ODD_ROWS, 2)
                self._stack.simulator.set(odd_rows=odd)
                self._undo(seconds, lambda: self._stack.simulator.set(odd_rows=()), kind)
        return True

    def _undo(self, seconds: float, act: Callable[[], None], name: str = "") -> None:
        self._later.append(_Later(time.monotonic() + seconds, act, name))
