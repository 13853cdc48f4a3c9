"""Arguments and options that several commands share."""

import datetime as dt
from typing import Annotated

import typer

from smsclick._values import times
from smsclick.errors import InvalidTime
from smsclick.settings import get_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[ID...]", help="Ids or keys; write id:… or key:… if a name is both.")
]
Since = Annotated[str | None, typer.Option(help="Only those created since then; the same forms of time as in report.")]
Until = Annotated[str | None, typer.Option(help="Only those created until then; a day alone means its end.")]


def time_of(option: str, text: str | None, *, end_of_day: bool = False) -> dt.datetime | None:
    """Return the time that an option gives, or None without one.

    Args:
        option: its name, for the error.
        text: as a person wrote it; without a zone in that of SMSCLICK_TIMEZONE.
        end_of_day: whether a day alone means its end.

    Raises:
        InvalidTime: it is no time.
    """
    if text is None:
        return None
    try:
        return times.parse_time_or_day(text, get_settings().zone, end_of_day=end_of_day)
    except InvalidTime as error:
        raise InvalidTime(f"{option}: {error}") from None
