"""`smsclick deadletters`: what came over the broker and could not become a message, for an operator to decide."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._database.database import Database, parse_url
from smsclick._database.sqlite_files import require_there
from smsclick._wakeups import wakeups
from smsclick.errors import SmsclickError
from smsclick.settings import get_settings
from worker.intake import dead_letters

group = typer.Typer(no_args_is_help=True, help="Calls over the broker that could not become messages.")

AsJson = Annotated[bool, typer.Option("--json", help="JSON lines with the content, which may hold phones and texts.")]
Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="As list shows them.")]


@group.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """Show them, newest first, without their content."""
    with _database() as database:
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
    """Store their messages after all; one against which something still stands stays."""
    failed = False
    with _database() as database:
        for letter, result in dead_letters.retry(database, ids):
            if isinstance(result, SmsclickError):
                failed = True
                output.note(f"{letter}: {result}")
            else:
                output.say(f"{letter}: message {result}")
                if wakeups.configured():
                    wakeups.wake([result])
    if failed:
        raise typer.Exit(1)


@group.command("drop")
def drop_command(ids: Ids) -> None:
    """Remove them for good."""
    with _database() as database:
        dropped = dead_letters.drop(database, ids)
    output.say(f"{dropped} dropped, {len(ids) - dropped} not there")


@contextmanager
def _database() -> Iterator[Database]:
    url = get_settings().database_url
    require_there(parse_url(url))
    database = Database(url, threads=1)
    try:
        database.require_migrated()
        yield database
    finally:
        database.dispose()
