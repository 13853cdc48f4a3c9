"""Quiet hours: a part of the day in which messages of low priority wait, by the recipient's local time."""

import dataclasses
import datetime as dt
import re
from collections.abc import Iterable
from zoneinfo import ZoneInfo

_FORM = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class QuietHours:
    """The time from `begin` (included) to `end` (excluded), over midnight if `begin` is later than `end`."""

    begin: dt.time
    end: dt.time

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """Parse a text like `22:00-08:00`.

        Raises:
            ValueError: the text has another form, or both times are the same.
        """
        match = _FORM.fullmatch(text.replace(" ", ""))
        if match is None:
            raise ValueError("must be two times of the day")
        hours = [int(part) for part in match.groups()]
        begin, end = dt.time(hours[0], hours[1]), dt.time(hours[2], hours[3])
        if begin == end:
            raise ValueError("must begin and end at different times; leave it empty for no quiet hours")
        return cls(begin, end)

    def ends(self, now: dt.datetime, zones: Iterable[ZoneInfo]) -> dt.datetime | None:
        """Return when quiet hours have ended in all of the zones, in UTC; None if no zone has them now."""
        return max((end for end in (self._ends(now, zone) for zone in zones) if end is not None), default=None)

    def _ends(self, now: dt.datetime, zone: ZoneInfo) -> dt.datetime | None:
        here = now.astimezone(zone)
        time = here.time()
        day = here.date()
        if self.begin < self.end:
            if not self.begin <= time < self.end:
                return None
        elif time >= self.begin:
            day += dt.timedelta(days=1)
        elif time >= self.end:
            return None
        # If the clock is put forward over the end, this is the first time after that.
        return dt.datetime.combine(day, self.end, tzinfo=zone).astimezone(dt.UTC)
