"""Rows of a report that cannot be read as a whole: each may be the unknown attempt. A pure value.

Such a row voids absence. It does not where a message of ours owns its id, where its date is before the attempt, or
where its ten digits are those of another phone: the control rows prove that this report shows phones unchanged.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Collection

from smsclick.provider.results import ReportRow, UnreadableRow
from worker.lifecycle.fingerprint import digits
from worker.reports.matching import CLOCK_TOLERANCE, Attempt

_MOST_KEPT_ROWS = 1000
_PHONE_DIGITS = 10
_WHOLE_PHONE = re.compile(rf"[0-9]{{{_PHONE_DIGITS}}}")


@dataclasses.dataclass(frozen=True, slots=True)
class _Unreadable:
    """What can be read of such a row. Without a phone it may be a message to any phone."""

    id_mensaje: int | None
    at: dt.datetime | None
    phone: str | None = dataclasses.field(repr=False)


class UnreadableRows:
    """The unreadable rows of one reading that may be messages to these phones.

    Args:
        phones: the phones of the attempts in question, as `digits` gives them.
    """

    def __init__(self, phones: Collection[str]) -> None:
        self._phones = phones
        self._kept: list[_Unreadable] = []
        self._more_than_kept = False

    def add(self, row: ReportRow | UnreadableRow) -> None:
        """Take in a row of the report that is no control row; a readable one is ignored."""
        if isinstance(row, ReportRow) and _readable(row):
            return
        phone = row.phone if row.phone is not None and _WHOLE_PHONE.fullmatch(row.phone) else None
        if phone is not None and phone not in self._phones:
            return
        if len(self._kept) < _MOST_KEPT_ROWS:
            self._kept.append(_Unreadable(row.id_mensaje, row.fecha_envio, phone))
        else:
            self._more_than_kept = True

    @property
    def ids(self) -> list[int]:
        """Their ids, as far as they can be read."""
        return [each.id_mensaje for each in self._kept if each.id_mensaje is not None]

    def may_be(self, attempt: Attempt, owned: Collection[int]) -> bool:
        """Return whether one of them may be this attempt.

        Args:
            attempt: the attempt, of unknown outcome.
            owned: ids that messages of ours have.
        """
        begin = attempt.since - CLOCK_TOLERANCE
        phone = digits(attempt.phone)
        return self._more_than_kept or any(
            (each.id_mensaje is None or each.id_mensaje not in owned)
            and (each.at is None or each.at >= begin)
            and each.phone in {None, phone}
            for each in self._kept
        )


def _readable(row: ReportRow) -> bool:
    return row.estatus is not None and row.fecha_envio is not None and len(row.phone) >= _PHONE_DIGITS
