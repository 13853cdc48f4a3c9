"""Details of incidents: stored in English, shown in the alert's language.

A detail that a template of the English catalogue made is read back with it, and written with the other language's
template. One that no template made (words of another program, reasons with ids) stays as it is.
"""

import functools
import re
from collections.abc import Sequence

from worker.alerting.catalogues import catalogue


def translated(detail: str, language: str) -> str:
    """A stored detail in a language; unchanged where no template has made it."""
    if language == "en":
        return detail
    for pattern, template in _patterns(language):
        found = pattern.fullmatch(detail)
        if found is not None:
            return template.format(**found.groupdict())
    return detail


@functools.cache
def _patterns(language: str) -> Sequence[tuple[re.Pattern[str], str]]:
    pairs = zip(catalogue("en").details, catalogue(language).details, strict=True)
    return [(re.compile(_pattern(english)), other) for english, other in pairs]


def _pattern(template: str) -> str:
    parts = re.split(r"\{(\w+)\}", template)
    return "".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
