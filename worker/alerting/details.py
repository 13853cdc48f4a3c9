"""Details of incidents: a code with values, stored as JSON, and a sentence in the reader's language.

No English sentence is stored, so none can stand in a Spanish alert. A value may itself be a detail with a code, such as
the reason why attempts stay unknown. What is not of this form, a row of an earlier release, is shown as it is.
"""

import enum
import json
from typing import TYPE_CHECKING, Final, NewType

from worker.alerting.catalogues import catalogue
from worker.alerting.wording import DetailCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.lifecycle.doubt import Doubt

Detail = NewType("Detail", str)
"""As the column stores it."""

NONE: Final = Detail("")

STORED_CHARACTERS: Final = 300
"""What fits into the column."""

_VALUE_CHARACTERS: Final = (220, 60, 20)
"""What is kept of a value; the later numbers where all of them together would not fit."""
_CODE: Final = "is"


def made(code: DetailCode, /, **values: "int | str | Detail") -> Detail:
    """Make a detail.

    Args:
        code: of its sentence.
        values: of the sentence's placeholders, without phone or text: numbers, words that are the same in each
            language, or details.
    """
    return _made(code, values)


def of_doubt(doubt: "Doubt") -> Detail:
    """Why an attempt stays unknown, as a value of another detail."""
    return _made(f"doubt.{doubt}", {})


def of_code(code: int) -> Detail:
    """What a code means that holds the account, as a value of another detail."""
    return _made(f"codigo.{code}", {})


def shown(detail: str, language: str) -> str:
    """A stored detail as a sentence in a language."""
    return _sentence(_parsed(detail), detail, language)


def _made(code: str, values: "Mapping[str, int | str | Detail]") -> Detail:
    made_of = {_CODE: code, **values}
    for most in _VALUE_CHARACTERS:
        kept = {name: _kept(value, most) for name, value in made_of.items()}
        stored = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
        if len(stored) <= STORED_CHARACTERS:
            return Detail(stored)
    return NONE


def _kept(value: "int | str | Detail", most: int) -> object:
    if isinstance(value, enum.Enum):
        value = str(value)
    if not isinstance(value, str):
        return value
    nested = _parsed(value)
    return value[:most] if nested is None else nested


def _parsed(detail: str) -> dict[str, object] | None:
    if not detail.startswith("{"):
        return None
    try:
        found = json.loads(detail)
    except ValueError:
        return None
    return found if isinstance(found, dict) and _CODE in found else None


def _sentence(found: dict[str, object] | None, otherwise: str, language: str) -> str:
    template = None if found is None else catalogue(language).details.get(str(found[_CODE]))
    if found is None or template is None:
        return otherwise  # of an earlier release, or a newer one
    values = {
        name: _sentence(value, str(value), language) if isinstance(value, dict) else value
        for name, value in found.items()
    }
    try:
        return template.format_map(values)
    except KeyError:
        return otherwise
