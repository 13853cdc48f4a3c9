"""`smsclick show`, `cancel` and `retry`: commands on messages that are named by id or key."""

import dataclasses
from collections.abc import Iterable
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick._values import causes
from smsclick.contract import Priority, State
from smsclick.provider.codes import lookup
from worker.operator import message_changes, message_history
from worker.operator.commands import incident_table
from worker.operator.commands.current_user import current_user
from worker.operator.commands.options import AsJson, Names
from worker.operator.message_changes import Result
from worker.operator.message_history import MessageHistory

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def show(
    name: Annotated[str, typer.Argument(metavar="ID-or-KEY", help="Which message.")], *, as_json: AsJson = False
) -> None:
    """Show one message and its history."""
    with open_database() as database:
        found = message_history.read(database, name)
    if as_json:
        output.json_line(
            {
                "message": dict(found.message) | {"priority": Priority(found.message["priority"]).name.lower()},
                "events": found.events,
                "incidents": [dataclasses.asdict(each) for each in found.incidents],
                "next": found.next,
            }
        )
    else:
        _show_message(found)
        _show_history(found)
        incident_table.show(found.incidents)


@commands.command(rich_help_panel="Operation")
def cancel(names: Names) -> None:
    """Cancel messages that are still queued."""
    with open_database() as database:
        _say_results(message_changes.cancel(database, names), "cancelled")


@commands.command(rich_help_panel="Operation")
def retry(
    names: Names,
    *,
    even_if_unknown: Annotated[
        bool,
        typer.Option(
            "--even-if-unknown", help="Also retry messages that the provider may have: a second SMS is possible."
        ),
    ] = False,
) -> None:
    """Queue failed messages again."""
    with open_database() as database:
        results = message_changes.retry(database, names, even_if_unknown=even_if_unknown, who=current_user())
        _say_results(results, "queued")


def _say_results(results: Iterable[Result], done: str) -> None:
    """Print a line for each message: on stdout if it was changed, on stderr if not."""
    refused = False
    for result in results:
        if result.problem is None:
            output.say(f"{result.id} {done}")
        else:
            refused = True
            output.complain(result.problem)
    if refused:
        raise typer.Exit(1)


def _show_message(found: MessageHistory) -> None:
    message = found.message
    output.show_pairs(
        {name: message[name] for name in ("id", "key", "phone", "text", "state")}
        | {"next": found.next}
        | {
            name: message[name]
            for name in ("id_mensaje", "estatus_mensaje", "attempts", "credits_used", "last_code", "last_error")
        }
        | {"priority": _priority(message["priority"])}
        | {name: message[name] for name in ("rule_id", "send_at", "expires_at", "if_absent", "callback", "reference")}
        | {name: message[name] for name in ("sent_at", "final_at", "reply", "replied_at", "erased_at")}
    )


def _show_history(found: MessageHistory) -> None:
    output.show_table(
        ("when", "from", "to", "cause", "attempt", "code", "description", "id_mensaje"),
        [
            (found.message["created_at"], "", State.QUEUED, "created", "", "", "", ""),
            *(
                (
                    event["at"],
                    event["from_state"],
                    event["to_state"],
                    causes.phrase(event["cause"]),
                    event["attempt"],
                    event["code"],
                    event["description"] or _meaning(event["code"]),
                    event["id_mensaje"],
                )
                for event in found.events
            ),
        ],
        title="History",
        texts={"cause", "description"},
        spare=("from", "attempt"),
    )


def _priority(value: object) -> object:
    """Return the priority's name, or the value itself if it is none: plain SQL can write any value."""
    names = {int(each): each.name.lower() for each in Priority}
    return names.get(value, value) if isinstance(value, int) else value


def _meaning(code: int | None) -> str:
    return "" if code is None else lookup(code).meaning
