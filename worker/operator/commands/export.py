"""`smsclick export`: write one record for each message to stdout."""

import datetime as dt
import sys
from typing import Annotated, Literal

import typer

from smsclick._cli.tools import open_database
from smsclick._values import times
from smsclick.contract import State
from smsclick.errors import InvalidField, InvalidTime
from smsclick.settings import get_settings
from worker.operator import exporting

commands = typer.Typer()


@commands.command(rich_help_panel="Operation")
def export(
    *,
    form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="JSON lines or CSV.")] = "jsonl",
    states: Annotated[
        list[State] | None, typer.Option("--state", help="Only messages in this state; can be given several times.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only messages created since then; the same forms of time as in report.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Only messages created until then; a day alone means its end.")
    ] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="CSV for spreadsheets: marked as UTF-8, with local times.")
    ] = False,
    keep_formulas: Annotated[
        bool, typer.Option("--keep-formulas", help="Keep texts like =1+1 as they are in a CSV.")
    ] = False,
) -> None:
    """Write one record for each message to stdout, as a stream.

    Times without a zone are in the provider's zone (SMSCLICK_TIMEZONE). In a CSV an apostrophe goes before each text
    that a spreadsheet would read as a formula.
    """
    if (excel or keep_formulas) and form != "csv":
        raise InvalidField(f"{'--excel' if excel else '--keep-formulas'}: is for CSV; add --format csv")
    zone = get_settings().zone
    wanted = exporting.Wanted(
        states or (),
        None if since is None else _time("--since", since),
        None if until is None else _time("--until", until, end_of_day=True),
    )
    with open_database() as database:
        records = exporting.export(database, wanted)
        if form == "csv":
            exporting.write_csv(records, sys.stdout, exporting.CsvForm(excel, zone, keep_formulas))
        else:
            exporting.write_jsonl(records, sys.stdout)


def _time(option: str, text: str, *, end_of_day: bool = False) -> dt.datetime:
    try:
        return times.parse_time_or_day(text, get_settings().zone, end_of_day=end_of_day)
    except InvalidTime as error:
        raise InvalidTime(f"{option}: {error}") from None
