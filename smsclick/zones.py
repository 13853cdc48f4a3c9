"""Where it may be what time for the owner of a Mexican number, by its area code.

Google's numbering data knows a zone for each area code but is behind in some: Chihuahua left Mountain time in 2022,
towns at the northern border keep the summer time of their neighbours, and codes that were added to full areas have only
the country's. For these `_ALSO` adds what holds today, so that whoever takes the widest care wakes nobody.
"""

import functools
import re
from typing import Final
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers.timezone import time_zones_for_geographical_number

_TEN_DIGITS: Final = re.compile(r"[0-9]{10}")
_CHIHUAHUA: Final = "614 621 625 627 628 629 635 636 639 648 649 652 659"
_ALSO: Final = {
    **dict.fromkeys(_CHIHUAHUA.split(), "America/Chihuahua"),
    **dict.fromkeys(("862", "868", "891", "897"), "America/Matamoros"),
    "657": "America/Ciudad_Juarez",
    "663": "America/Tijuana",
}


def zones_of(phone: str) -> tuple[ZoneInfo, ...]:
    """The zones in which the owner of a phone may be at home; none where it is no phone.

    Args:
        phone: ten digits; a mobile's area code too names where it was first given out.
    """
    return _of_area(phone[:3]) if _TEN_DIGITS.fullmatch(phone) else ()


@functools.cache
def _of_area(code: str) -> tuple[ZoneInfo, ...]:
    number = phonenumbers.PhoneNumber(country_code=52, national_number=int(f"{code}0000000"))
    names = {*time_zones_for_geographical_number(number)}
    if code in _ALSO:
        names.add(_ALSO[code])
    return tuple(ZoneInfo(name) for name in sorted(names))
