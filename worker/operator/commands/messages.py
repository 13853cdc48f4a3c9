"""`smsclick show`, `cancel` and `retry`: commands on messages that are named by id or key."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick._values import causes
from smsclick.contract import Priority, State
from smsclick.provider.codes import lookup
from smsclick.settings import get_settings
from worker.operator import message_changes, message_history
from worker.operator.commands.options import AsJson, Names, Since, Until
from worker.operator.commands.parts import callback_table, filtered, incident_table
from worker.operator.commands.parts.confirmation import DryRun, Yes
from worker.operator.commands.parts.current_user import current_user
from worker.operator.commands.parts.filtered import Codes, FilterOptions, References, States
from worker.operator.message_changes import Result
from worker.operator.message_history import MessageHistory
from worker.operator.waiting.facts import Limits
from worker.sql.audit import Act

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def show(
    name: Annotated[str, typer.Argument(metavar="ID-or-KEY", help="Which message.")], *, as_json: AsJson = False
) -> None:
    """Show one message, its history and its callbacks."""
    settings = get_settings()
    with open_database() as database:
        found = message_history.read(database, name, limits=Limits.of(settings), zone=settings.zone)
    if as_json:
        output.json_line(
            {
                "message": dict(found.message) | {"priority": Priority(found.message["priority"]).name.lower()},
                "events": found.events,
                "callbacks": [dataclasses.asdict(each) for each in found.callbacks],
                "incidents": [dataclasses.asdict(each) for each in found.incidents],
                "next": found.next,
                "waiting": [dataclasses.asdict(each) for each in found.waiting],
            }
        )
    else:
        _show_message(found)
        _show_history(found)
        callback_table.show(found.callbacks, title="Callbacks")
        incident_table.show(found.incidents)


@commands.command(rich_help_panel="Operation")
def cancel(
    names: Names = None,
    *,
    states: States = None,
    references: References = None,
    codes: Codes = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Cancel messages that are still queued: those named, or all that a filter describes."""
    given = FilterOptions(states, references, codes, since, until, dry_run, yes)
    if filtered.chosen(Act.CANCEL, names, given):
        filtered.run(Act.CANCEL, given)
    else:
        with open_database() as database:
            _say_results(message_changes.cancel(database, names or [], actor=current_user()), "cancelled")


@commands.command(rich_help_panel="Operation")
def retry(
    names: Names = None,
    *,
    states: States = None,
    references: References = None,
    codes: Codes = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    even_if_unknown: Annotated[
        bool,
        typer.Option(
            "--even-if-unknown", help="Also retry messages that the provider may have: a second SMS is possible."
        ),
    ] = False,
) -> None:
    """Queue failed messages again: those named, or all that a filter describes."""
    given = FilterOptions(states, references, codes, since, until, dry_run, yes)
    if filtered.chosen(Act.RETRY, names, given):
        if even_if_unknown:
            raise typer.BadParameter("--even-if-unknown is for messages that are named one by one, not for a filter")
        filtered.run(Act.RETRY, given)
    else:
        with open_database() as database:
            results = message_changes.retry(
                database, names or [], actor=current_user(), even_if_unknown=even_if_unknown
            )
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
                    _cause(event),
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


def _cause(event: Mapping[str, Any]) -> str:
    """Return why a message changed, and who did it if a person did."""
    why = causes.phrase(event["cause"], event["description"])
    return why if event["actor"] is None else f"{why} ({event['actor']})"


def _meaning(code: int | None) -> str:
    return "" if code is None else lookup(code).meaning
