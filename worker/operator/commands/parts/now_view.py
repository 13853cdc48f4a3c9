"""The figures of `smsclick watch` as rich draws them. Pure: the same figures and size give the same picture."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Final

from rich.console import Group, OverflowMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smsclick._cli import output
from smsclick._values import times
from smsclick.contract import State
from worker.alerting.kinds import Severity
from worker.operator.account import Hold
from worker.operator.now import LATE_SECONDS, TICKS_SECONDS, Latency, Minute, Now, Situation
from worker.operator.open_incidents import Incident
from worker.operator.recent_heartbeats import Heartbeat

PLOT_MINUTES: Final = 60

_FIGURE_LINES: Final = 9
_INCIDENT_LINES: Final = 5
"""Of an incident with what to do, at 80 columns."""

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_DIGITS: Final = "12345678"
_STYLES: Final = {
    Situation.HELD: "bold red",
    Situation.NO_WORKER: "bold red",
    Situation.STUCK: "bold red",
    Situation.BEHIND: "bold yellow",
    Situation.SENDING: "bold green",
    Situation.IDLE: "bold green",
}
_SEVERITIES: Final = {Severity.CRITICAL: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold"}
_LEFT: Final = (State.QUEUED, State.SENDING, State.SENT, State.UNKNOWN, State.CANCELLED)
_RIGHT: Final = (State.DELIVERED, State.REJECTED, State.FAILED, State.UNDETERMINED, State.EXPIRED)


@dataclasses.dataclass(frozen=True, slots=True)
class Canvas:
    """What the figures are drawn for.

    Attributes:
        width: cells of a line.
        height: lines; incidents that do not fit are only counted. None for no limit.
        blocks: whether block characters can be shown.
        hint: at the end of the first line.
        trouble: why the figures could not be read again; empty if they could.
    """

    width: int = 80
    height: int | None = None
    blocks: bool = True
    hint: str = ""
    trouble: str = ""


def drawn(found: Now, canvas: Canvas) -> RenderableType:
    """The picture of the figures."""
    top: list[Text] = []
    if canvas.trouble:
        top.append(Text(f"not read again: {output.shown(canvas.trouble)}", style="bold red"))
    top.append(Text(found.sentence(), style=_STYLES[found.situation]))
    top.extend(Text(_hold(each, found), style="red") for each in found.holds)
    # The head, the headings of the states, and a blank line before the states and before the figures.
    others = sum(1 + each.cell_len // canvas.width for each in top) + len(_LEFT) + _FIGURE_LINES + 4
    left = None if canvas.height is None else canvas.height - others
    parts = (*top, *_incidents(found.incidents, left), Text(), _states(found), Text(), _figures(found, canvas))
    return Group(_head(found, canvas), *parts)


def plot(minutes: Sequence[Minute], at: dt.datetime, *, blocks: bool = True) -> str:
    """The rate of each of the last 60 minutes as one character: a dot where nothing is known, a blank for zero.

    Args:
        minutes: as `worker.operator.now.read` returns them.
        at: the end of the last minute.
        blocks: whether block characters can be shown; else digits stand for them.
    """
    slots = []
    for back in range(PLOT_MINUTES, 0, -1):
        middle = at - dt.timedelta(minutes=back - 0.5)
        slots.append(next((each.per_second for each in minutes if each.begins_at <= middle < each.ends_at), None))
    highest = max((each for each in slots if each is not None), default=0.0)
    steps = _BLOCKS if blocks else _DIGITS
    return "".join(
        "." if rate is None else " " if rate <= 0 else steps[min(len(steps) - 1, int(rate / highest * len(steps)))]
        for rate in slots
    )


def _head(found: Now, canvas: Canvas) -> RenderableType:
    head = Table.grid(expand=True)
    head.add_column()
    head.add_column(justify="right", no_wrap=True)
    head.add_row(Text(f"smsclick at {output.shown(found.at)}", style="bold"), Text(canvas.hint, style="dim"))
    return head


def _states(found: Now) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column("state", no_wrap=True)
        table.add_column("messages", justify="right", no_wrap=True)
        table.add_column("last minute", justify="right", no_wrap=True)
    for pair in zip(_LEFT, _RIGHT, strict=True):
        table.add_row(*(cell for state in pair for cell in _state(found, state)))
    return table


def _state(found: Now, state: State) -> tuple[Text, Text, Text]:
    number = _about(found.counts.states[state], estimated=state in found.counts.estimated)
    flow = found.flow.states.get(state)
    last = "" if not flow else f"+{_about(flow, estimated=state in found.flow.estimated)}"
    troubling = state in {State.UNKNOWN, State.REJECTED, State.FAILED, State.UNDETERMINED}
    style = "yellow" if troubling and found.counts.states[state] else ""
    return Text(state), Text(number, style=style), Text(last)


def _about(number: int, *, estimated: bool) -> str:
    return f"about {number:,}" if estimated else f"{number:,}"


def _figures(found: Now, canvas: Canvas) -> RenderableType:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    late = found.oldest_due_seconds is not None and found.oldest_due_seconds > LATE_SECONDS
    rows: list[tuple[str, str, str]] = [
        ("oldest due", _waited(found), "bold yellow" if late else ""),
        ("rate", _hour(found, canvas), ""),
        ("until request", _latency(found.latencies.wait), ""),
        ("provider call", _latency(found.latencies.call), ""),
        ("final status", _latency(found.latencies.final), ""),
        ("balance", _balance(found), ""),
        ("workers", *_workers(found)),
    ]
    for name, words, style in rows:
        table.add_row(name, Text(output.shown(words), style=style))
    return table


def _waited(found: Now) -> str:
    waited = found.oldest_due_seconds
    return "no message is due" if waited is None else f"has waited for {times.span(waited)}"


def _hour(found: Now, canvas: Canvas) -> str:
    rate = f"{found.flow.states[State.SENT] / 60:,.1f}/s this minute"
    highest = max((each.per_second for each in found.minutes), default=0.0)
    if highest == 0:
        return f"{rate}; of the hour before no rate is known, or it was 0"
    said = f"{rate}, at most {highest:,.1f}/s; one character a minute"
    return f"{plot(found.minutes, found.at, blocks=canvas.blocks)}|\n{said}"


def _latency(latency: Latency) -> str:
    if latency.p50 is None or latency.p99 is None:
        return "not measured in the last hour"
    return f"{_time(latency.p50)} at the median, {_time(latency.p99)} at p99, of {latency.count:,}"


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else times.span(seconds)


def _balance(found: Now) -> str:
    state = found.account_state
    if state.balance is None or state.balance_at is None:
        return "not known yet: the worker asks for it"
    said = f"{state.balance:,} credits {times.span((found.at - state.balance_at).total_seconds())} ago"
    if found.forecast is None:
        return said
    if found.forecast.seconds_left is None:
        return f"{said}; none were charged in the last hour"
    return f"{said}; lasts {times.span(found.forecast.seconds_left)} at {found.forecast.credits_per_hour:,.0f}/hour"


def _hold(hold: Hold, found: Now) -> str:
    said = "held" if len(found.holds) == 1 else f"held, {hold.words()}"
    if hold.since is not None:
        said += f" for {times.span((found.at - hold.since).total_seconds())}"
    if hold.by is not None:
        said += f" by {hold.by}"
    return output.shown(said if hold.why is None else f"{said}: {hold.why}")


def _workers(found: Now) -> tuple[str, str]:
    late = [each is None or each.age_seconds > TICKS_SECONDS for each in (found.beat, found.sweep)]
    ticks = f"beat {_age(found.beat)}, sweep {_age(found.sweep)}"
    if not found.workers:
        return f"none made progress in the last 15 min; {ticks}", "bold red"
    alive, all_ = found.live_workers, len(found.workers)
    said = f"{alive} alive" if alive == all_ else f"{alive} of {all_} alive"
    latest = times.span(found.workers[0].age_seconds)
    return f"{said}, {latest} ago; {ticks}", "" if alive == all_ and not any(late) else "bold yellow"


def _age(heartbeat: Heartbeat | None) -> str:
    return "never" if heartbeat is None else f"{times.span(heartbeat.age_seconds)} ago"


def _incidents(incidents: Sequence[Incident], lines: int | None) -> list[RenderableType]:
    """Each incident with what to do; where there is no room for that, titles, and how many are left out."""
    if not incidents:
        return []
    # The gravest first; of these the oldest, as they come.
    order = {severity: place for place, severity in enumerate(_SEVERITIES)}
    ranked = sorted(incidents, key=lambda each: order[each.severity])
    whole = lines is None or lines > _INCIDENT_LINES * len(ranked)
    shown = ranked if whole or lines is None else ranked[: max(0, lines - 2)]
    heading = f"Open incidents: {len(ranked)}"
    if not whole:
        heading += "; smsclick stats shows what to do"
    parts: list[RenderableType] = [Text()] if shown else []
    parts.append(Text(heading, style="bold"))
    for each in shown:
        detail = f" ({each.detail})" if each.detail else ""
        title = _line(f"- {each.opened_at:%H:%MZ} {each.title}{detail}")
        overflow: OverflowMethod = "fold" if whole else "ellipsis"
        parts.append(Text(title, style=_SEVERITIES[each.severity], no_wrap=not whole, overflow=overflow))
        if whole and each.advice:
            parts.append(Padding(Text(_line(each.advice)), (0, 0, 0, 2)))
    return parts


def _line(words: str) -> str:
    return " ".join(output.shown(words).split())
