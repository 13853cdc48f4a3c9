"""Every order of events of one message, two workers, a reader of the report and an operator: all of them, not a sample.

The worker's own pure decisions (`worker.decisions`) are driven over a state that holds what each party knows. Time goes
in whole units: a call takes at most one, a lease lasts two, SETTLE three. Ages beyond what any decision asks for are
all the same, so the number of states is finite, and a search that finds no new one has seen every interleaving, however
long. Due times are left out: whatever may happen may happen at once, which is more than the product does.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from collections import deque
from typing import TYPE_CHECKING, Literal

from smsclick.codes import Action
from smsclick.contract import IfAbsent, Priority, State
from smsclick.replies import Accepted, Refused, Unknown
from worker import decisions
from worker.decisions import Found, NotFound, Policy, Released
from worker.lifecycle import TRANSITIONS, Change, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNIT = dt.timedelta(seconds=60)
NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
"""Each state is written down as if it were now: only ages and remaining times differ."""

CALL, LEASE, SETTLE = 1, 2, 3
_OLD = SETTLE + LEASE + 2
"""An age that is more than any decision asks about."""
_POLICY = Policy(lease=LEASE * 60.0, settle=SETTLE * 60.0, tracking=86_400, poll=(60,))

Answer = Literal["accepted", "refused", "nothing"]


class _Steady(random.Random):
    """No jitter: it moves due times only, and these are left out."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


_RNG = _Steady()


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """What a worker holds in memory: an attempt, and how far it is.

    Attributes:
        current: whether the row still has this attempt's token.
        time_left: units until `not_after`; below 0: too late to leave.
        asked: whether the request left.
        answer: what the call ended with, once it has.
    """

    current: bool
    time_left: int
    asked: bool = False
    answer: Answer | Literal["never left"] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Wire:
    """A request on its way, whoever still waits for it; `worker` is None once that one was killed."""

    worker: int | None
    age: int
    current: bool
    taken: Answer | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A report that was read and is not yet judged."""

    current: bool
    read: int
    sees: bool


_Jobs = tuple[Job | None, Job | None]


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """Everything that matters of a moment. `left` is the age of the request that was accepted, None: none was."""

    row: Message
    jobs: _Jobs = (None, None)
    wires: tuple[Wire, ...] = ()
    report: Report | None = None
    left: int | None = None
    accepted: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What the world keeps to, and what the product does; a test breaks one of them to see that the search notices.

    Attributes:
        shown_within: units after a request left by which the report shows what was accepted.
        leaves_late: whether a request may leave after its claim's `not_after`.
        after_lease: what becomes of a lost claim.
        settle: units that the product waits for the report.
        judged_by_reading: whether absence is judged by when the report was read, not by when it is judged.
    """

    shown_within: int = SETTLE
    leaves_late: bool = False
    after_lease: Callable[[Message, dt.datetime], Change] = decisions.after_lease
    settle: int = SETTLE
    judged_by_reading: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Explored:
    """What a search saw.

    Attributes:
        states: different moments of the world.
        steps: different steps between them.
        orders: by length, how many orders of events lead from the beginning through that many steps.
        broken: the shortest way to a broken promise, and its name; None where no order breaks one.
        stuck: moments after which the message could not end any more unless an operator withdrew it.
    """

    states: int
    steps: int
    orders: tuple[int, ...]
    broken: tuple[str, ...] | None
    stuck: int


def explore(if_absent: IfAbsent, rules: Rules | None = None, *, length: int = 12) -> Explored:
    """See every state that can be reached, and count the orders of events up to `length` steps."""
    rules = rules or Rules()
    first = World(_message(if_absent))
    before: dict[World, tuple[World, str] | None] = {first: None}
    following: dict[World, list[World]] = {}
    leading: dict[World, list[World]] = {first: []}
    queue = deque([first])
    while queue:
        world = queue.popleft()
        if (wrong := _wrong(world)) is not None:
            return Explored(len(before), 0, (), (*_way(before, world), wrong), 0)
        following[world] = []
        for name, after in _steps(world, rules):
            following[world].append(after)
            if after not in before:
                before[after] = (world, name)
                leading[after] = []
                queue.append(after)
            if not name.startswith("an operator"):
                leading[after].append(world)
    return Explored(
        states=len(before),
        steps=sum(map(len, following.values())),
        orders=_orders(first, following, length),
        broken=None,
        stuck=len(before) - _can_end(leading),
    )


def _can_end(leading: dict[World, list[World]]) -> int:
    """From how many moments there is a way to an end."""
    queue = deque(world for world in leading if world.row.state in {State.SENT, State.FAILED, State.CANCELLED})
    seen = set(queue)
    while queue:
        for world in leading[queue.popleft()]:
            if world not in seen:
                seen.add(world)
                queue.append(world)
    return len(seen)


def _orders(first: World, following: dict[World, list[World]], length: int) -> tuple[int, ...]:
    counts, here = [], {first: 1}
    for _ in range(length):
        there: dict[World, int] = {}
        for world, ways in here.items():
            for after in following[world]:
                there[after] = there.get(after, 0) + ways
        here = there
        counts.append(sum(here.values()))
    return tuple(counts)


def _way(before: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    names: list[str] = []
    while (step := before[world]) is not None:
        world, name = step
        names.append(name)
    return tuple(reversed(names))


def _wrong(world: World) -> str | None:
    if world.accepted > 1:
        return "accepted twice"
    if world.accepted and world.row.state not in {State.SENDING, State.UNKNOWN, State.SENT}:
        return f"{world.row.state} although accepted"
    if world.row.state is State.SENT and not world.accepted:
        return "sent although not accepted"
    return None


def _message(if_absent: IfAbsent) -> Message:
    blank = dict.fromkeys(field.name for field in dataclasses.fields(Message))
    given = {"id": 1, "state": State.QUEUED, "priority": Priority.NORMAL, "if_absent": if_absent}
    counts = {"attempts": 0, "refusals": 0, "polls": 0, "absences": 0}
    return Message(**(blank | given | counts))  # type: ignore[arg-type]  # a value of the right type for each name


# --- The steps


def _steps(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    yield "time passes", _tick(world, rules)
    yield from _workers(world, rules)
    yield from _provider(world)
    yield from _settling(world, rules)
    if world.row.state is State.FAILED:
        yield "an operator retries", _written(world, decisions.retried(world.row, NOW))
    if world.row.state is State.QUEUED:
        yield "an operator cancels", _written(world, decisions.cancelled(world.row, NOW))


def _workers(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    for number, job in enumerate(world.jobs):
        who = f"worker {number + 1}"
        if job is None:
            if world.row.state is State.QUEUED:
                change = decisions.after_claim(world.row, "mine", "key", NOW, _POLICY)
                claimed = _written(_stale(world), change)
                yield f"{who} claims", _with_job(claimed, number, Job(current=True, time_left=LEASE - CALL))
            continue
        yield f"{who} is killed", _killed(world, number)
        if job.answer is not None:
            yield f"{who} records: {job.answer}", _recorded(world, number, job)
        elif not job.asked:
            if job.time_left >= 0 or rules.leaves_late:
                asked = _with_job(world, number, dataclasses.replace(job, asked=True))
                wire = Wire(number, 0, job.current)
                yield f"{who}'s request leaves", dataclasses.replace(asked, wires=_sorted(*world.wires, wire))
            never = dataclasses.replace(job, answer="never left")
            yield f"{who}'s request does not leave", _with_job(world, number, never)
        else:
            for answer in {"nothing", *_answers(world, number)}:
                heard = _with_job(world, number, dataclasses.replace(job, answer=answer))
                wires = (dataclasses.replace(w, worker=None) if w.worker == number else w for w in world.wires)
                yield f"{who} hears: {answer}", dataclasses.replace(heard, wires=_open(*wires))


def _answers(world: World, number: int) -> list[Answer]:
    return [wire.taken for wire in world.wires if wire.worker == number and wire.taken is not None]


def _provider(world: World) -> Iterator[tuple[str, World]]:
    for number, wire in enumerate(world.wires):
        if wire.taken is not None or wire.age > CALL:
            continue
        others = world.wires[:number] + world.wires[number + 1 :]
        taken = dataclasses.replace(wire, taken="accepted")
        accepted = min(world.accepted + 1, 2)
        yield (
            "the provider accepts",
            dataclasses.replace(world, wires=_open(*others, taken), left=wire.age, accepted=accepted),
        )
        refused = dataclasses.replace(wire, taken="refused")
        yield "the provider refuses", dataclasses.replace(world, wires=_open(*others, refused))


def _settling(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    row = world.row
    if row.state is State.SENDING and row.lease_until is not None and row.lease_until <= NOW:
        yield "the sweep finds a lost claim", _written(world, rules.after_lease(row, NOW))
    if row.state is State.UNKNOWN and world.report is None:
        must = world.left is not None and world.left >= rules.shown_within
        for sees in {must, world.left is not None}:
            read = Report(current=True, read=0, sees=sees)
            yield f"a report is read and {'shows' if sees else 'lacks'} it", dataclasses.replace(world, report=read)
    if world.report is not None:
        yield "a reader is killed", dataclasses.replace(world, report=None)
        yield "a report is judged", _judged(world, world.report, rules)


def _judged(world: World, report: Report, rules: Rules) -> World:
    after = dataclasses.replace(world, report=None)
    token = (world.row.token if report.current else None) or "another"
    read_at = NOW - report.read * UNIT if rules.judged_by_reading else NOW
    seen = Found(7, None, "equal") if report.sees else NotFound(read_at)
    policy = dataclasses.replace(_POLICY, settle=rules.settle * 60.0)
    change = decisions.after_report(world.row, token, seen, NOW, policy, _RNG)
    return after if change is None else _written(after, change)


def _recorded(world: World, number: int, job: Job) -> World:
    outcomes: dict[str, decisions.Outcome] = {
        "accepted": Accepted(7, 1, ""),
        "refused": Refused(-999, "", Action.RETRY, ""),
        "nothing": Unknown(""),
        "never left": Released() if job.time_left >= 0 else Refused(None, "", Action.RETRY, ""),
    }
    outcome = outcomes[str(job.answer)]
    after = _with_job(world, number, None)
    token = (world.row.token if job.current else None) or "another"
    first = decisions.accepted_after_all(after.row, token, outcome)
    if first is not None:
        after = _written(after, first)
    change = decisions.after_attempt(after.row, token, outcome, NOW, _POLICY, _RNG)
    return after if change is None else _written(after, change)


def _killed(world: World, number: int) -> World:
    wires = (dataclasses.replace(wire, worker=None) if wire.worker == number else wire for wire in world.wires)
    return dataclasses.replace(_with_job(world, number, None), wires=_open(*wires))


def _tick(world: World, rules: Rules) -> World:
    row = world.row
    moved = {
        name: max(value - UNIT, NOW - _OLD * UNIT)
        for name in ("lease_until", "unknown_since", "attempted_at")
        if (value := getattr(row, name)) is not None
    }
    aged = (dataclasses.replace(wire, age=min(wire.age + 1, CALL + 1)) for wire in world.wires)
    report = world.report
    return dataclasses.replace(
        world,
        row=dataclasses.replace(row, **moved),
        jobs=_each(world.jobs, lambda job: dataclasses.replace(job, time_left=max(job.time_left - 1, -1))),
        wires=_open(*aged),
        report=report if report is None else dataclasses.replace(report, read=min(report.read + 1, _OLD)),
        left=None if world.left is None else min(world.left + 1, max(_OLD, rules.shown_within)),
    )


# --- Writing down


def _written(world: World, change: Change) -> World:
    was, becomes = change.was, change.becomes
    if was.state is not becomes.state and becomes.state not in TRANSITIONS[was.state]:
        raise AssertionError(f"{was.state} cannot become {becomes.state}")
    # What no decision of an attempt asks for would only make more states of the same.
    plain = dataclasses.replace(
        becomes,
        due_at=None,
        polls=0,
        refusals=0,
        attempts=1,
        last_code=None,
        last_error=None,
        final_at=None,
        sent_at=None,
        credits_used=None,
        wire_key=None,
        attempted_at=None,
        unknown_reason=None,
        absences=0,
        absent_since=None,
        id_source=None,
    )
    return dataclasses.replace(world if plain.token == was.token else _stale(world), row=plain)


def _stale(world: World) -> World:
    """What was known of the attempt before is of an older one now."""
    return dataclasses.replace(
        world,
        jobs=_each(world.jobs, lambda job: dataclasses.replace(job, current=False)),
        wires=_open(*(dataclasses.replace(wire, current=False) for wire in world.wires)),
        report=None if world.report is None else dataclasses.replace(world.report, current=False),
    )


def _with_job(world: World, number: int, job: Job | None) -> World:
    first, second = world.jobs
    return dataclasses.replace(world, jobs=(job, second) if number == 0 else (first, job))


def _each(jobs: _Jobs, change: Callable[[Job], Job]) -> _Jobs:
    first, second = jobs
    return None if first is None else change(first), None if second is None else change(second)


def _open(*wires: Wire) -> tuple[Wire, ...]:
    """Only those whose answer somebody waits for, or that the provider may still take."""
    return _sorted(*(w for w in wires if w.worker is not None or (w.taken is None and w.age <= CALL)))


def _sorted(*wires: Wire) -> tuple[Wire, ...]:
    return tuple(sorted(wires, key=repr))
