"""Every order of events of one message, two workers, a reader of the report and an operator: all of them, not a sample.

The worker's own pure decisions (`worker.lifecycle.policy`) are driven over a state that holds what each party knows.
Time goes in whole units: a call takes at most one, a lease lasts two, SETTLE three. Ages beyond what any decision asks
for are all the same, so the number of states is finite, and a search that finds no new one has seen every interleaving,
however long. Due times are left out: whatever may happen may happen at once, which is more than the product does.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import random
from collections import deque
from typing import TYPE_CHECKING, Literal

from smsclick.contract import IfAbsent, Priority, State
from smsclick.provider.codes import Action, Estatus
from smsclick.provider.results import Accepted, Refused, ReportRow, Unknown, UnreadableRow
from worker.lifecycle import on_attempt, on_claim, on_operator, on_report
from worker.lifecycle import policy as policy_of_lifecycle
from worker.lifecycle.doubt import Doubt
from worker.lifecycle.model import TRANSITIONS, Change, Message
from worker.lifecycle.on_report import Found, NotFound
from worker.lifecycle.policy import Policy, Released
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS, Reading
from worker.reconciliation.control_rows import Control
from worker.reports.matching import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNIT = dt.timedelta(seconds=60)
NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
"""Each state is written down as if it were now: only ages and remaining times differ."""

CALL, LEASE, SETTLE = 1, 2, 3
_OLD = SETTLE + LEASE + 2
"""An age that is more than any decision asks about."""
_POLICY = Policy(lease=LEASE * 60.0, settle_seconds=SETTLE * 60.0, tracking=86_400, poll=(60,))

_PHONE = "5551402211"

Answer = Literal["accepted", "refused", "nothing"]


class Habit(enum.Enum):
    """What a report looks like: `GOOD` is as the manual says. All others hide the attempt."""

    GOOD = enum.auto()
    MASKED = enum.auto()
    TEXTS = enum.auto()
    """Other words around each text."""
    SHIFTED = enum.auto()
    """Dates of another zone."""
    NEWEST = enum.auto()
    """Capped: only the newest rows."""
    OLDEST = enum.auto()
    """Capped: only the oldest rows."""
    LAGS = enum.auto()
    """It shows nothing that is younger than the attempt."""
    LAGS_FOR_SOME = enum.auto()
    """It shows what comes later, but not yet the attempt; the incident `report_lag` is open."""
    ODD = enum.auto()
    """The attempt is in it, as a row that cannot be read."""
    ACCOUNT = enum.auto()
    """It is that of another account."""


_HIDES = frozenset(Habit) - {Habit.GOOD}


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
class Request:
    """A request in flight; `worker` waits for its answer and is None after that worker was killed."""

    worker: int | None
    age: int
    current: bool
    verdict: Answer | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A report that was read and is not yet judged; `doubt` is why its silence proves nothing."""

    current: bool
    read: int
    sees: bool
    doubt: Doubt | None = None


_Jobs = tuple[Job | None, Job | None]


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """Everything that matters of the world at one time.

    Attributes:
        left: the age of the request that was accepted; None: none was.
        witnessed: whether another message was accepted since the attempt became unknown: a control row after it.
        late: whether the provider took the request after the call was given up.
    """

    row: Message
    jobs: _Jobs = (None, None)
    requests: tuple[Request, ...] = ()
    report: Report | None = None
    left: int | None = None
    accepted: int = 0
    witnessed: bool = True
    late: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What the world keeps to, and what the product does; a test breaks one of them to see that the search notices.

    Attributes:
        shown_within: units after a request left by which the report shows what was accepted.
        leaves_late: whether a request may leave after its claim's `not_after`.
        after_lease: what becomes of a lost claim.
        settle_window: units that the product waits for the report.
        judged_by_reading: whether absence is judged by when the report was read, not by when it is judged.
        habit: what the report looks like; None: as the manual says, with control rows before and after.
        controls_before: whether messages were accepted before the attempt.
        ignores: doubts that the product ignores.
        spans_to_now: whether the report is asked for up to now, not only for the time of the attempt.
    """

    shown_within: int = SETTLE
    leaves_late: bool = False
    after_lease: Callable[[Message, dt.datetime], Change] = on_attempt.after_lease
    settle_window: int = SETTLE
    judged_by_reading: bool = True
    habit: Habit | None = None
    controls_before: bool = True
    ignores: frozenset[Doubt] = frozenset()
    spans_to_now: bool = True

    @property
    def workers(self) -> int:
        """How many; with habits one is enough, and the search stays small."""
        return 2 if self.habit is None else 1

    @property
    def accepted_within(self) -> int:
        """Units after a request left in which the provider may still take it."""
        return CALL if self.habit is None else self.shown_within - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Explored:
    """What a search saw.

    Attributes:
        states: different states of the world.
        steps: different steps between them.
        orders: by length, how many orders of events lead from the beginning through that many steps.
        broken: the shortest way to a broken promise, and its name; None where no order breaks one.
        stuck: states from which the message can end only if an operator withdraws it.
    """

    states: int
    steps: int
    orders: tuple[int, ...]
    broken: tuple[str, ...] | None
    stuck: int


def explore(if_absent: IfAbsent, rules: Rules | None = None, *, length: int = 12) -> Explored:
    """See every state that can be reached, and count the orders of events up to `length` steps."""
    rules = rules or Rules()
    first = World(_message(if_absent), witnessed=rules.habit is None)
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
    """From how many states there is a way to an end."""
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
    yield from _provider(world, rules)
    yield from _reconciling(world, rules)
    if world.row.state is State.FAILED:
        yield "an operator retries", _written(world, on_operator.retried(world.row, NOW, "ana"))
    if world.row.state is State.QUEUED:
        yield "an operator cancels", _written(world, on_operator.cancelled(world.row, NOW, "ana"))


def _workers(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    for number, job in enumerate(world.jobs[: rules.workers]):
        who = f"worker {number + 1}"
        if job is None:
            if world.row.state is State.QUEUED:
                change = on_claim.after_claim(world.row, "mine", "key", NOW, _POLICY)
                claimed = dataclasses.replace(_written(_stale(world), change), witnessed=rules.habit is None)
                yield f"{who} claims", _with_job(claimed, number, Job(current=True, time_left=LEASE - CALL))
            continue
        yield f"{who} is killed", _killed(world, number, rules)
        if job.answer is not None:
            yield f"{who} records: {job.answer}", _recorded(world, number, job)
        elif not job.asked:
            if job.time_left >= 0 or rules.leaves_late:
                asked = _with_job(world, number, dataclasses.replace(job, asked=True))
                request = Request(number, 0, job.current)
                yield f"{who}'s request leaves", dataclasses.replace(asked, requests=_sorted(*world.requests, request))
            never = dataclasses.replace(job, answer="never left")
            yield f"{who}'s request does not leave", _with_job(world, number, never)
        else:
            for answer in {"nothing", *_answers(world, number)}:
                heard = _with_job(world, number, dataclasses.replace(job, answer=answer))
                requests = (dataclasses.replace(r, worker=None) if r.worker == number else r for r in world.requests)
                yield f"{who} hears: {answer}", dataclasses.replace(heard, requests=_open(rules, *requests))


def _answers(world: World, number: int) -> list[Answer]:
    return [request.verdict for request in world.requests if request.worker == number and request.verdict is not None]


def _provider(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    if world.row.state is State.UNKNOWN and not world.witnessed:
        yield "another message is accepted", dataclasses.replace(world, witnessed=True)
    for number, request in enumerate(world.requests):
        if request.verdict is not None or request.age > rules.accepted_within:
            continue
        others = world.requests[:number] + world.requests[number + 1 :]
        taker = dataclasses.replace(request, verdict="accepted")
        accepted = min(world.accepted + 1, 2)
        yield (
            "the provider accepts",
            dataclasses.replace(
                world,
                requests=_open(rules, *others, taker),
                left=request.age,
                accepted=accepted,
                late=request.age > CALL,
            ),
        )
        if request.age <= CALL:
            refused = dataclasses.replace(request, verdict="refused")
            yield "the provider refuses", dataclasses.replace(world, requests=_open(rules, *others, refused))


def _reconciling(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    row = world.row
    if row.state is State.SENDING and row.lease_until is not None and row.lease_until <= NOW:
        yield "the sweep finds a lost claim", _written(world, rules.after_lease(row, NOW))
    if row.state is State.UNKNOWN and world.report is None:
        must = world.left is not None and world.left >= rules.shown_within
        for sees in {must, world.left is not None}:
            read = _read(world, rules, sees=sees)
            yield (
                f"a report is read and {'shows' if read.sees else 'lacks'} it",
                dataclasses.replace(world, report=read),
            )
    if world.report is not None:
        yield "a reader is killed", dataclasses.replace(world, report=None)
        yield "a report is judged", _judged(world, world.report, rules)


def _judged(world: World, report: Report, rules: Rules) -> World:
    after = dataclasses.replace(world, report=None)
    token = (world.row.token if report.current else None) or "another"
    read_at = NOW - report.read * UNIT if rules.judged_by_reading else NOW
    doubt = None if report.doubt in rules.ignores else report.doubt
    seen = Found(7, None, "equal") if report.sees else NotFound(read_at, doubt)
    policy = dataclasses.replace(_POLICY, settle_seconds=rules.settle_window * 60.0)
    change = on_report.after_report(world.row, token, seen, NOW, policy, _RNG)
    return after if change is None else _written(after, change)


def _recorded(world: World, number: int, job: Job) -> World:
    outcomes: dict[str, policy_of_lifecycle.Outcome] = {
        "accepted": Accepted(7, 1, ""),
        "refused": Refused(-999, "", Action.RETRY, ""),
        "nothing": Unknown(""),
        "never left": Released() if job.time_left >= 0 else Refused(None, "", Action.RETRY, ""),
    }
    outcome = outcomes[str(job.answer)]
    after = _with_job(world, number, None)
    token = (world.row.token if job.current else None) or "another"
    first = on_attempt.accepted_after_all(after.row, token, outcome)
    if first is not None:
        after = _written(after, first)
    change = on_attempt.after_attempt(after.row, token, outcome, NOW, _POLICY, _RNG)
    return after if change is None else _written(after, change)


def _killed(world: World, number: int, rules: Rules) -> World:
    requests = (
        dataclasses.replace(request, worker=None) if request.worker == number else request for request in world.requests
    )
    return dataclasses.replace(_with_job(world, number, None), requests=_open(rules, *requests))


def _tick(world: World, rules: Rules) -> World:
    row = world.row
    moved = {
        name: max(value - UNIT, NOW - _OLD * UNIT)
        for name in ("lease_until", "unknown_since", "attempted_at")
        if (value := getattr(row, name)) is not None
    }
    longest = rules.accepted_within + 1
    aged = (dataclasses.replace(request, age=min(request.age + 1, longest)) for request in world.requests)
    report = world.report
    return dataclasses.replace(
        world,
        row=dataclasses.replace(row, **moved),
        jobs=_each(world.jobs, lambda job: dataclasses.replace(job, time_left=max(job.time_left - 1, -1))),
        requests=_open(rules, *aged),
        report=report if report is None else dataclasses.replace(report, read=min(report.read + 1, _OLD)),
        left=None if world.left is None else min(world.left + 1, max(_OLD, rules.shown_within)),
    )


# --- The report


def _read(world: World, rules: Rules, *, sees: bool) -> Report:
    """What a report shows now, and what its silence is worth by the product's own rule."""
    if rules.habit is None:
        return Report(current=True, read=0, sees=sees)
    hidden = rules.habit in _HIDES or (world.late and not rules.spans_to_now)
    row = world.row
    until = 0 if row.unknown_since is None else int((NOW - row.unknown_since) / UNIT)
    there = world.accepted > 0 and rules.habit is Habit.ODD
    doubt = _doubt(rules.habit, until, there, rules.controls_before, world.witnessed)
    return Report(current=True, read=0, sees=sees and not hidden, doubt=doubt)


@functools.cache
def _doubt(habit: Habit, until: int, there: bool, before: bool, after: bool) -> Doubt | None:  # noqa: FBT001
    """The product's doubt about a report with this habit.

    Args:
        habit: of the report.
        until: how many units ago the attempt ended.
        there: whether the attempt is in it as a row that cannot be read.
        before: whether control rows were accepted before the attempt.
        after: whether some were accepted after it.
    """
    ended = NOW - until * UNIT
    attempt = Attempt(1, _PHONE, "hola", ended - LEASE * UNIT, ended)
    times = [attempt.since - UNIT] * LEAST_CONTROL_ROWS * before + [ended] * LEAST_CONTROL_ROWS * after
    controls = [Control(number, _PHONE, f"control {number}", at, at) for number, at in enumerate(times, 100)]
    reading = Reading({_PHONE}, controls, NOW)
    for control in controls:
        is_after = control.since >= ended
        if habit is Habit.ACCOUNT:
            continue  # another account has none of our messages
        if (habit is Habit.NEWEST and not is_after and after) or (habit in {Habit.OLDEST, Habit.LAGS} and is_after):
            continue
        phone = control.phone[-4:] if habit is Habit.MASKED else control.phone
        text = f"{control.id_mensaje}% {control.text}" if habit is Habit.TEXTS else control.text
        at = control.since + dt.timedelta(hours=1) * (habit is Habit.SHIFTED)
        reading.add(ReportRow(control.id_mensaje, phone, text, at, Estatus.PENDIENTE, None, None, None, None))
    if there:
        reading.add(UnreadableRow(7, "no readable mensaje", attempt.since, _PHONE))
    if habit is Habit.ACCOUNT and not reading.proves_account(SETTLE * UNIT):
        return Doubt.ACCOUNT
    doubt = reading.doubt(attempt, set(), SETTLE * UNIT)
    return Doubt.LAG if doubt is None and habit is Habit.LAGS_FOR_SOME else doubt


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
        requests=_sorted(*(dataclasses.replace(request, current=False) for request in world.requests)),
        report=None if world.report is None else dataclasses.replace(world.report, current=False),
    )


def _with_job(world: World, number: int, job: Job | None) -> World:
    first, second = world.jobs
    return dataclasses.replace(world, jobs=(job, second) if number == 0 else (first, job))


def _each(jobs: _Jobs, change: Callable[[Job], Job]) -> _Jobs:
    first, second = jobs
    return None if first is None else change(first), None if second is None else change(second)


def _open(rules: Rules, *requests: Request) -> tuple[Request, ...]:
    """Only those whose answer somebody waits for, or that the provider may still take."""
    return _sorted(
        *(w for w in requests if w.worker is not None or (w.verdict is None and w.age <= rules.accepted_within))
    )


def _sorted(*requests: Request) -> tuple[Request, ...]:
    return tuple(sorted(requests, key=repr))
