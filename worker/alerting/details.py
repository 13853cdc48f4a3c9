"""Details of incidents: stored in English, shown in the alert's language.

`detail` makes the stored line from a code and values, with the sentence of the English catalogue. `translated` reads a
stored line back with the same sentence, and writes it with that of the other language. So no module has a sentence of
its own that could differ from the catalogue. A line that no code made (words of another program, reasons with ids) is
shown as it is.
"""

import functools
import re
from collections.abc import Sequence

from worker.alerting.catalogues import catalogue
from worker.alerting.wording import DetailCode


def detail(code: DetailCode, **values: object) -> str:
    """Return a detail as it is stored, in English.

    Args:
        code: what it says.
        values: for the placeholders of its sentence.
    """
    return catalogue("en").details[code].format(**values)


def translated(stored: str, language: str) -> str:
    """Return a stored detail in a language; unchanged if `detail` has not made it."""
    if language == "en":
        return stored
    for pattern, template in _patterns(language):
        found = pattern.fullmatch(stored)
        if found is not None:
            return template.format(**found.groupdict())
    return stored


@functools.cache
def _patterns(language: str) -> Sequence[tuple[re.Pattern[str], str]]:
    others = catalogue(language).details
    return [(re.compile(_pattern(english)), others[code]) for code, english in catalogue("en").details.items()]


def _pattern(template: str) -> str:
    parts = re.split(r"\{(\w+)\}", template)
    return "".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
