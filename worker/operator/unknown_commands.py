"""The commands about attempts of unknown outcome: list them, and say by hand what became of one."""

import dataclasses
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick._values import times
from smsclick.errors import SmsclickError
from worker.operator import unknowns

unknown_commands = typer.Typer()


@unknown_commands.command(rich_help_panel="Operation")
def unknown(*, as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs.")] = False) -> None:
    """List attempts of unknown outcome: how old, why the report cannot tell, when it is read next."""
    with open_database() as database:
        found = unknowns.unknown(database)
    if as_json:
        for each in found:
            output.json_line(dataclasses.asdict(each))
        return
    if not found:
        output.say("no attempt is of unknown outcome")
        return
    output.show_table(
        ("id", "key", "attempt", "unknown for", "looks", "next look", "what was seen", "why it is open"),
        [
            (
                each.id,
                each.key,
                each.attempt,
                times.span(each.age_seconds),
                each.looks,
                "a person's" if each.next_look_seconds is None else f"in {times.span(each.next_look_seconds)}",
                each.reason,
                "" if each.open_reason is None else f"{each.open_reason}: {each.why or ''}",
            )
            for each in found
        ],
        texts={"key", "what was seen", "why it is open"},
        spare=("looks", "attempt", "next look", "what was seen"),
    )
    for todo in dict.fromkeys(each.todo for each in found if each.todo is not None):
        output.say(f"- {todo}")


@unknown_commands.command(rich_help_panel="Operation")
def settle(
    name: Annotated[str, typer.Argument(metavar="ID", help="Its id or key.")],
    *,
    accepted: Annotated[
        int | None,
        typer.Option("--accepted", metavar="ID_MENSAJE", min=1, max=2**63 - 1, help="SMSClick has it, as this id."),
    ] = None,
    not_accepted: Annotated[
        bool, typer.Option("--not-accepted", help="SMSClick does not have it: it is sent again, or fails.")
    ] = False,
) -> None:
    """Say by hand what became of an attempt of unknown outcome; who said so stays in its history."""
    if (accepted is not None) == not_accepted:
        raise typer.BadParameter("say either --accepted ID_MENSAJE or --not-accepted")
    with open_database() as database:
        done = unknowns.settle(database, name, accepted, unknowns.user())
    if done.problem is not None:
        raise SmsclickError(done.problem)
    output.say(f"{done.id} {'not accepted' if accepted is None else f'accepted as {accepted}'}")
