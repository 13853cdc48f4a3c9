"""`smsclick callbacks`: the calls to producers that wait or were given up, and once more."""

import dataclasses
import itertools
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database, progress_bar
from smsclick._database.engine import Database
from worker.callbacks import replay
from worker.callbacks.replay import CallbackState, Wanted
from worker.operator import message_names
from worker.operator.commands.options import AsJson, Since, Until, time_of
from worker.operator.commands.parts import confirmation
from worker.operator.commands.parts.callback_table import show
from worker.operator.commands.parts.confirmation import DryRun, Yes
from worker.operator.commands.parts.current_user import current_user

group = typer.Typer(no_args_is_help=True, help="Calls to producers that wait or were given up.")

_MOST_SHOWN = 1000

States = Annotated[
    list[CallbackState] | None,
    typer.Option("--state", help="Only waiting or given-up ones; both if it is left out, or given twice."),
]
Receivers = Annotated[
    list[str] | None, typer.Option("--receiver", help="Only for this host or queue, as list shows it.")
]
Message = Annotated[str | None, typer.Option("--message", metavar="ID-or-KEY", help="Only of this message.")]


@group.command("list")
def list_command(
    *,
    states: States = None,
    receivers: Receivers = None,
    message: Message = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Show the calls that wait for their next try, and those that were given up; at most 1,000 as a table."""
    with open_database() as database:
        found = replay.listed(database, _wanted(database, states, receivers, message, since, until))
        if as_json:
            for each in found:
                output.json_line(dataclasses.asdict(each))
            return
        rows = list(itertools.islice(found, _MOST_SHOWN))
    if rows:
        show(rows, title=None)
    else:
        output.say("no callback waits and none was given up")


@group.command("replay")
def replay_command(
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID...]", help="As list shows them.")] = None,
    *,
    states: States = None,
    receivers: Receivers = None,
    message: Message = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Deliver callbacks again: those named, or all that a filter describes."""
    filtered = any((states, receivers, message)) or not (since is None and until is None)
    if bool(ids) == filtered:
        raise typer.BadParameter("give ids, or a filter: --state, --receiver, --message, --since, --until")
    with open_database() as database:
        wanted = _wanted(database, states, receivers, message, since, until)
        if ids:
            wanted = dataclasses.replace(wanted, ids=frozenset(ids))
        count = sum(1 for _ in replay.listed(database, wanted))
        if dry_run:
            output.say(f"{count} callbacks would be replayed")
            return
        if not count:
            output.say("no callback that waits or was given up matches")
            raise typer.Exit(1 if ids else 0)
        if filtered:
            confirmation.require(f"replay {count} callbacks", yes=yes)
        with progress_bar("replay", count) as so_far:
            done = replay.replay(database, wanted, actor=current_user(), progress=so_far)
    output.say(
        f"{done} replayed" + (f", {count - done} left alone: a call is under way or due" if done < count else "")
    )


def _wanted(
    database: Database,
    states: list[CallbackState] | None,
    receivers: list[str] | None,
    message: str | None,
    since: str | None,
    until: str | None,
) -> Wanted:
    chosen = frozenset(states or (CallbackState.WAITING, CallbackState.GIVEN_UP))
    if CallbackState.DELIVERED in chosen:
        raise typer.BadParameter("--state delivered: smsclick show has the delivered callbacks of a message")
    message_id = None
    if message is not None:
        with database.read() as connection:
            message_id = message_names.id_of(connection, message)
    return Wanted(
        states=chosen,
        receivers=frozenset(receivers or ()),
        message_id=message_id,
        since=time_of("--since", since),
        until=time_of("--until", until, end_of_day=True),
    )
