"""`smsclick deadletters`: calls over the broker that could not become messages, for an operator to decide."""

import dataclasses
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick._wakeups import publisher
from smsclick.errors import SmsclickError
from worker.intake import dead_letters
from worker.operator.commands.parts.current_user import current_user

group = typer.Typer(no_args_is_help=True, help="Calls over the broker that could not become messages.")

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON lines with the content, which may hold phones and texts.")
]
Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="As list shows them.")]


@group.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """Show them, newest first, without their content."""
    with open_database() as database:
        found = list(dead_letters.listed(database))
    if as_json:
        for each in found:
            output.json_line(dataclasses.asdict(each))
    elif not found:
        output.say("no dead letters")
    else:
        output.show_table(
            ["id", "since", "queue", "task", "call", "reason"],
            [
                (each.id, f"{each.created_at:%Y-%m-%d %H:%M}", each.queue, each.task, each.task_id, each.reason)
                for each in found
            ],
        )


@group.command("retry")
def retry_command(ids: Ids) -> None:
    """Store their messages; one that still cannot become a message stays in the list."""
    failed = False
    with open_database() as database:
        for letter, result in dead_letters.retry(database, ids, actor=current_user()):
            if isinstance(result, SmsclickError):
                failed = True
                output.note(f"{letter}: {result}")
            else:
                output.say(f"{letter}: message {result}")
                if publisher.configured():
                    publisher.wake([result])
    if failed:
        raise typer.Exit(1)


@group.command("drop")
def drop_command(ids: Ids) -> None:
    """Delete them."""
    with open_database() as database:
        dropped = dead_letters.drop(database, ids, actor=current_user())
    output.say(f"{dropped} dropped, {len(ids) - dropped} not found")
