"""The command `smsclick restored`: what an operator does after a restore, and what producers then ask for."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._database.database import Database
from smsclick._values.times import parse_time
from smsclick.errors import InvalidField, SmsclickError
from smsclick.provider.account_client import open_client
from smsclick.settings import Settings, get_settings
from worker.account import account_key
from worker.restore import restored as restoring

recovery = typer.Typer()


@recovery.command("restored", rich_help_panel="Operation")
def restored_command(
    *,
    since: Annotated[
        str | None, typer.Option(help="When the backup was made, or earlier; ISO 8601 with a zone.")
    ] = None,
    unowned: Annotated[
        bool, typer.Option("--unowned", help="Only list the ids of the report since then that no message has.")
    ] = False,
    missing_keys: Annotated[
        str | None, typer.Option(metavar="FILE", help="Only list the keys of FILE, one a line, that no message has.")
    ] = None,
    end: Annotated[
        bool, typer.Option("--end", help="Only lift the hold of a restore now; what is unknown stays so.")
    ] = False,
) -> None:
    """After a restored backup or a lossy failover: hold, and look for all that could have been sent since."""
    if sum([missing_keys is not None, end, since is not None]) != 1 or (unowned and since is None):
        raise typer.BadParameter("give --since TIME (with --unowned or without), --missing-keys FILE or --end")
    settings = get_settings()
    database = Database(settings.database_url, threads=2)
    try:
        if missing_keys is not None:
            with _keys(missing_keys) as keys:
                for key in restoring.missing_keys(database, keys):
                    output.say(key)
        elif end:
            database.transact(restoring.end)
            output.say("the hold of the restore is lifted; smsclick unknown lists what was not decided")
        elif unowned:
            _say_unowned(database, settings, since or "")
        else:
            _restore(database, settings, since or "")
    finally:
        database.dispose()


def _restore(database: Database, settings: Settings, since: str) -> None:
    mine = account_key.fingerprint(settings.require_api_key())
    done = restoring.restored(
        database, parse_time("--since", since), mine, progress=lambda count: output.note(f"{count} …")
    )
    output.say(
        f"held: {done.unknown} messages could have been sent since {done.since.isoformat(timespec='seconds')} and are "
        "looked for in the provider's report; sending goes on by itself after SMSCLICK_SETTLE_SECONDS"
    )
    output.say("what is lost: smsclick restored --missing-keys FILE (a producer's keys, one a line)")


def _say_unowned(database: Database, settings: Settings, since: str) -> None:
    begin = parse_time("--since", since)
    with open_client(settings) as client:
        rows = client.report_rows(begin, database.clock())
        with contextlib.closing(rows):
            for id_mensaje in restoring.unowned(database, (row.id_mensaje for row in rows if row.id_mensaje)):
                output.say(str(id_mensaje))


@contextlib.contextmanager
def _keys(file: str) -> Iterator[Iterator[str]]:
    try:
        raw = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise SmsclickError(f"{file} cannot be read ({error.strerror})") from None
    with raw:
        try:
            yield (key for line in raw if (key := line.decode("utf-8-sig").rstrip("\r\n")))
        except UnicodeDecodeError:
            raise InvalidField("the file is not UTF-8: save it in that encoding") from None
