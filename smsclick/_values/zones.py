"""The time zones in which the owner of a Mexican number may live, by the area code.

Google's numbering data has a zone for each area code, but some are out of date: Chihuahua left Mountain time in 2022,
towns at the northern border keep the summer time of their neighbours, and codes that were added to full areas have only
the zone of the country. It also has one zone where an area code covers states or municipalities with different clocks.
`_ALSO` adds the missing zones, so that quiet hours hold in each zone that is possible.
"""

import functools
import re
from typing import Final
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers.timezone import time_zones_for_geographical_number

_TEN_DIGITS: Final = re.compile(r"[0-9]{10}")

# Zones of towns with an area code, in addition to Google's data. The Ley de los Husos Horarios of 2022, articles 5 and
# 6, lists the municipalities that follow the clock of the United States.
_ALSO: Final[dict[str, str]] = {
    # The state of Chihuahua, and at its border Ascensión and Janos (636), Ciudad Juárez (657, an overlay of 656).
    "America/Chihuahua": "614 621 625 626 627 628 629 635 636 639 648 649 652 659",
    "America/Ciudad_Juarez": "636 657",
    # Coahuila: Allende, Nava, Zaragoza and others (862), Ocampo (869). Nuevo León: Anáhuac (873). Tamaulipas: Matamoros
    # (868), Camargo and Díaz Ordaz (891), Miguel Alemán and others (897).
    "America/Matamoros": "862 868 869 873 891 897",
    # Baja California: Isla de Cedros and the south (615), the valley of Mexicali (653), Tijuana (663, an overlay).
    "America/Tijuana": "615 653 663",
    # Nayarit: the north of what 329 covers; its south, Bahía de Banderas, has the clock of Jalisco.
    "America/Mazatlan": "329",
    # Durango: Tamazula (667, and its overlay 660). Campeche: Xpujil (983). Google has only the neighbour's for these.
    "America/Mexico_City": "660 667 983",
    # Quintana Roo: José María Morelos (997), the towns at Yucatán's border (985, 986).
    "America/Cancun": "985 986 997",
}


def zones_of(phone: str) -> tuple[ZoneInfo, ...]:
    """Return the zones in which the owner of a phone may live; none if it is not a phone.

    Args:
        phone: ten digits; also the area code of a mobile names the area in which it was first sold.
    """
    return _of_area(phone[:3]) if _TEN_DIGITS.fullmatch(phone) else ()


@functools.cache
def _of_area(code: str) -> tuple[ZoneInfo, ...]:
    number = phonenumbers.PhoneNumber(country_code=52, national_number=int(f"{code}0000000"))
    names = {*time_zones_for_geographical_number(number)}
    names |= {zone for zone, codes in _ALSO.items() if code in codes.split()}
    return tuple(ZoneInfo(name) for name in sorted(names))
