"""`smsclick forget`: erase a person's phone and texts, and print a receipt."""

import dataclasses
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database, progress_line
from worker.operator import forgetting
from worker.operator.commands.options import AsJson
from worker.operator.commands.parts import confirmation
from worker.operator.commands.parts.confirmation import Yes
from worker.operator.commands.parts.current_user import current_user
from worker.operator.forgetting import Receipt

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def forget(
    phone: Annotated[str, typer.Argument(metavar="PHONE", help="A Mexican number, in any usual form.")],
    *,
    optout_too: Annotated[
        bool, typer.Option("--optout-too", help="Also remove its opt-out, which is else kept as a hash.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person's phone, texts and replies from every table, for good, and print a receipt without them.

    Messages that wait are cancelled. Those in flight or of unknown outcome keep phone and text until their end is
    known: run it again then.
    """
    confirmation.require("erase this phone and all that was written to it, for good", yes=yes)
    with open_database() as database, progress_line() as line:
        done = forgetting.forget(
            database,
            phone,
            actor=current_user(),
            optout_too=optout_too,
            progress=lambda last: line.show(f"looked at messages up to {last}"),
        )
    if as_json:
        output.json_line(dataclasses.asdict(done))
    else:
        _show(done)
    if done.deferred:
        ids = ", ".join(map(str, done.deferred[:10])) + (" …" if len(done.deferred) > 10 else "")
        output.complain(
            f"{len(done.deferred)} messages are in flight or of unknown outcome and keep phone and text (ids {ids}): "
            "run this again when they are final, or decide them with smsclick settle"
        )
        raise typer.Exit(1)


def _show(done: Receipt) -> None:
    mentions = ", ".join(map(str, done.mention_ids))
    output.show_pairs(
        {
            "forgotten at": done.at,
            "messages erased": done.erased,
            "of them cancelled": done.cancelled,
            "messages deferred": len(done.deferred),
            "keys replaced": done.keys,
            "references removed": done.references,
            "callbacks cleaned": done.callbacks,
            "dead letters deleted": done.dead_letters,
            "opt-out": done.optout,
            "left alone": f"{done.mentions} messages to others that mention it: {mentions}" if done.mentions else None,
        }
    )
