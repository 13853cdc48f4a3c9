"""`smsclick stats` and `watch`: print the figures for a person, or as JSON; draw them again and again."""

import contextlib
import dataclasses
from typing import Annotated, Any

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick._values import times
from worker.account.account_state import AccountState
from worker.operator import account, now
from worker.operator import stats as figures
from worker.operator.commands.options import AsJson
from worker.operator.commands.parts import incident_table
from worker.operator.stats import Stats

commands = typer.Typer()

Every = Annotated[float, typer.Option("--every", min=0.5, max=3600, help="Seconds between two readings.")]
Days = Annotated[int, typer.Option("--days", min=1, max=400, help="Sum what was sent and charged for so many days.")]


@commands.command(rich_help_panel="Operation")
def stats(*, days: Days = figures.DAYS, as_json: AsJson = False) -> None:
    """Show counts by state, the oldest due message, rate, hold, balance, credits and open incidents."""
    with open_database() as database:
        found = figures.read(database, days)
    if as_json:
        output.json_line(_record(found, days))
    else:
        _show(found, days)


@commands.command(rich_help_panel="Operation")
def watch(*, every: Every = 2.0) -> None:
    """Show what flows now, how fast, and why nothing does, until q or Ctrl-C; once where stdout is no terminal."""
    # rich takes longer to load than most commands take to run.
    from worker.operator.commands.parts import now_screen, now_view  # noqa: PLC0415

    with open_database() as database:
        if output.for_people():
            with contextlib.suppress(KeyboardInterrupt):
                now_screen.watch(database, every)
        else:
            canvas = now_view.Canvas(output.console().width, blocks=output.can_show("█"))
            output.show(now_view.drawn(now.read(database), canvas))


def _show(found: Stats, days: int) -> None:
    estimated = found.counts.estimated
    counts = [(state, f"about {n}" if state in estimated else n) for state, n in found.counts.states.items()]
    output.show_table(("state", "messages"), counts)
    state = found.account_state
    oldest = found.oldest_due_seconds
    output.show_pairs(
        {
            "oldest due": "none" if oldest is None else f"has waited for {times.span(oldest)}",
            "hold": "none" if state.is_open else ", ".join(account.hold_reasons(state)),
            "held since": figures.hold_since(state),
            "canary": None if state.canary_id is None else f"message {state.canary_id}",
            "report lag": _report_lag(state),
            "rate now": f"{found.per_second:.1f} messages/s over the last minute",
            "balance": _balance(state),
            "balance lasts": _forecast(found),
            f"credits last {days} days": _used(found),
        }
    )
    if found.heartbeats:
        output.show_table(
            ("heartbeat", "last", "progress"),
            [(each.name, f"{times.span(each.age_seconds)} ago", each.progress) for each in found.heartbeats],
        )
    incident_table.show(found.incidents)


def _balance(state: AccountState) -> str:
    if state.balance is None or state.balance_at is None:
        return "not known yet: the worker asks for it"
    return f"{state.balance} credits at {output.shown(state.balance_at)}"


def _forecast(found: Stats) -> str | None:
    if found.forecast is None:
        return None
    rate = f"at {found.forecast.credits_per_hour:.0f} credits/hour, the rate of the last hour"
    left = found.forecast.seconds_left
    return "no credits were charged in the last hour" if left is None else f"{times.span(left)} {rate}"


def _used(found: Stats) -> str:
    used = found.used
    if found.used_since is None:
        return "none"
    return f"{used.credits} for {used.sent} messages, counted since {output.shown(found.used_since)}"


def _report_lag(state: AccountState) -> str | None:
    """Return how long the report takes to show a message; it must stay well below SMSCLICK_SETTLE_SECONDS."""
    if state.lag_since is not None:
        waited = (state.now - state.lag_since).total_seconds()
        if state.report_lag is None or waited > state.report_lag:
            return f"more than {times.span(waited)}: the report does not show the latest message yet"
    if state.report_lag is None:
        return None
    return f"at most {times.span(state.report_lag)}, measured at {output.shown(state.report_lag_at)}"


def _record(found: Stats, days: int) -> dict[str, Any]:
    state = found.account_state
    hold = None
    if not state.is_open:
        hold = {
            "reason": "operator" if state.hold_reason is None else state.hold_reason,
            "since": figures.hold_since(state),
            "by_operator": state.operator_hold_at is not None,
            "canary_id": state.canary_id,
        }
    return {
        "states": found.counts.states,
        "estimated": sorted(found.counts.estimated),
        "oldest_due_seconds": found.oldest_due_seconds,
        "hold": hold,
        "report_lag_seconds": state.report_lag,
        "report_lag_at": state.report_lag_at,
        "balance": state.balance,
        "balance_at": state.balance_at,
        "sent_per_second": found.per_second,
        "forecast": None if found.forecast is None else dataclasses.asdict(found.forecast),
        "used": {"days": days, "since": found.used_since, **dataclasses.asdict(found.used)},
        "incidents": [dataclasses.asdict(each) for each in found.incidents],
        "heartbeats": [dataclasses.asdict(each) for each in found.heartbeats],
        "at": found.now,
    }
