"""`smsclick find`: the messages to one phone."""

import dataclasses
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from worker.operator import finding
from worker.operator.commands.options import AsJson

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def find(
    phone: Annotated[str, typer.Argument(metavar="PHONE", help="A Mexican number, in any usual form.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=finding.MOST_FOUND, help="The newest so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the messages to one phone, newest first; smsclick show has the text and the history of each."""
    with open_database() as database:
        found = finding.by_phone(database, phone, limit=limit)
    if as_json:
        for each in found:
            output.json_line(dataclasses.asdict(each))
    elif not found:
        output.say("no message to this phone")
    else:
        output.show_table(
            ("id", "created", "state", "key", "sent", "final", "id_mensaje", "reference"),
            [
                (
                    each.id,
                    each.created_at,
                    each.state,
                    each.key,
                    each.sent_at,
                    each.final_at,
                    each.id_mensaje,
                    each.reference,
                )
                for each in found
            ],
            texts={"key", "reference"},
            spare=("sent", "reference", "id_mensaje"),
        )
