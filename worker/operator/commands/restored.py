"""`smsclick restored`: what an operator runs after a restored backup, and what producers then ask for."""

import contextlib
from collections.abc import Iterator
from typing import Annotated, BinaryIO

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database, opened
from smsclick._database.engine import Database
from smsclick._values.times import parse_time
from smsclick.errors import InvalidField
from smsclick.provider.account_client import open_client
from smsclick.settings import Settings, get_settings
from worker.account import account_key
from worker.operator.commands.parts.current_user import current_user
from worker.restore import hold, losses
from worker.restore.recovery import recover

commands = typer.Typer()


@commands.command("restored", rich_help_panel="Operation")
def restored_command(
    *,
    since: Annotated[
        str | None, typer.Option(help="When the backup was made, or earlier; ISO 8601 with a zone.")
    ] = None,
    unowned: Annotated[
        bool, typer.Option("--unowned", help="Only list the ids in the report since then that no message has.")
    ] = False,
    missing_keys: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Only list the keys in FILE, one per line, that no message has; - is stdin."),
    ] = None,
    end: Annotated[
        bool, typer.Option("--end", help="Only lift the hold of a restore now; unknown messages stay unknown.")
    ] = False,
) -> None:
    """After a restored backup or a lossy failover: hold, and reconcile all that could have been sent since."""
    if sum([missing_keys is not None, end, since is not None]) != 1 or (unowned and since is None):
        raise typer.BadParameter("give --since TIME (with --unowned or without), --missing-keys FILE or --end")
    settings = get_settings()
    with open_database() as database:
        if missing_keys is not None:
            with opened(missing_keys) as stream:
                for key in losses.missing_keys(database, _keys(stream)):
                    output.say(key)
        elif end:
            database.transact(lambda connection: hold.end_by_operator(connection, current_user()))
            output.say("the hold of the restore is lifted; smsclick unknown lists what is not decided yet")
        elif unowned:
            _say_unowned(database, settings, since or "")
        else:
            _restore(database, settings, since or "")


def _restore(database: Database, settings: Settings, since: str) -> None:
    mine = account_key.fingerprint(settings.require_api_key())
    begin = parse_time("--since", since)
    done = recover(database, begin, mine, actor=current_user(), progress=lambda count: output.note(f"{count} …"))
    output.say(
        f"held: {done.unknown} messages could have been sent since {done.since.isoformat(timespec='seconds')} and are "
        "being reconciled with the provider's report; sending goes on by itself after SMSCLICK_SETTLE_SECONDS"
    )
    output.say("to find lost messages: smsclick restored --missing-keys FILE (a producer's keys, one per line)")


def _say_unowned(database: Database, settings: Settings, since: str) -> None:
    begin = parse_time("--since", since)
    with open_client(settings) as client:
        rows = client.report_rows(begin, database.clock())
        with contextlib.closing(rows):
            for id_mensaje in losses.unowned_ids(database, (row.id_mensaje for row in rows if row.id_mensaje)):
                output.say(str(id_mensaje))


def _keys(stream: BinaryIO) -> Iterator[str]:
    try:
        for line in stream:
            if key := line.decode("utf-8-sig").rstrip("\r\n"):
                yield key
    except UnicodeDecodeError:
        raise InvalidField("--missing-keys: the file is not UTF-8; save it in this encoding") from None
