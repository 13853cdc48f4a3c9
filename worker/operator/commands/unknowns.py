"""`smsclick unknown` and `smsclick settle`: list attempts of unknown outcome, and decide one of them by hand."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick._values import times
from worker.operator import unknowns
from worker.operator.commands.options import AsJson
from worker.operator.commands.parts.current_user import current_user
from worker.operator.unknowns import UnknownAttempt

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def unknown(*, as_json: AsJson = False) -> None:
    """List attempts of unknown outcome: how old, why the report proves nothing, when it is read next."""
    with open_database() as database:
        found = unknowns.read(database)
    if as_json:
        for each in found:
            output.json_line(dataclasses.asdict(each))
    elif not found:
        output.say("no attempt is of unknown outcome")
    else:
        _show(found)


@commands.command("settle", rich_help_panel="Operation")
def decide(
    name: Annotated[str, typer.Argument(metavar="ID", help="The message's id or key.")],
    *,
    accepted: Annotated[
        int | None,
        typer.Option(
            "--accepted", metavar="ID_MENSAJE", min=1, max=2**63 - 1, help="SMSClick accepted it, with this id."
        ),
    ] = None,
    not_accepted: Annotated[
        bool, typer.Option("--not-accepted", help="SMSClick did not accept it: it is sent again, or fails.")
    ] = False,
) -> None:
    """Record by hand what became of an attempt of unknown outcome; its history keeps your name."""
    if (accepted is not None) == not_accepted:
        raise typer.BadParameter("give either --accepted ID_MENSAJE or --not-accepted")
    with open_database() as database:
        result = unknowns.decide(database, name, accepted, current_user())
    if result.problem is not None:
        raise result.problem
    output.say(f"{result.id} {'not accepted' if accepted is None else f'accepted as {accepted}'}")


def _show(found: Sequence[UnknownAttempt]) -> None:
    output.show_table(
        ("id", "key", "attempt", "unknown for", "reports", "next report", "what was seen", "why it is open"),
        [
            (
                each.id,
                each.key,
                each.attempt,
                times.span(each.age_seconds),
                each.looks,
                "a person decides" if each.next_look_seconds is None else f"in {times.span(each.next_look_seconds)}",
                each.reason,
                "" if each.open_reason is None else f"{each.open_reason}: {each.why or ''}",
            )
            for each in found
        ],
        texts={"key", "what was seen", "why it is open"},
        spare=("reports", "attempt", "next report", "what was seen"),
    )
    for todo in dict.fromkeys(each.todo for each in found if each.todo is not None):
        output.say(f"- {todo}")
