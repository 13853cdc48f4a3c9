"""JSON as the provider writes it: a tree of `JsonObject`, lists and scalars.

Names are compared without case, accents and underscores, because the manual itself writes `creditos_usados` and
`creditosUsados`. What a plain dict would lose stays: repeated names, and how a number was written.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn, Self

_WHOLE_LITERAL: Final = re.compile(r"(-?[0-9]{1,19})\.0{1,20}")
_LONGEST_CACHED_NAME: Final = 40

NOT_AN_OBJECT: Final = "the body is not a JSON object"
NOT_JSON: Final = "the body is not readable JSON"


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object with its names folded (`creditosUsados` and `creditos_usados` are one name).

    Attributes:
        names: The names as they came.
        fields: Folded name to value; of a repeated name, the first value that is not null.
        repeated: Folded names that came more than once.
    """

    names: tuple[str, ...]
    fields: dict[str, object]
    repeated: frozenset[str]

    def get(self, name: str) -> object:
        """Return the value of a folded name, or None."""
        return self.fields.get(name)


@dataclass(frozen=True, slots=True)
class NoObject:
    """A body that is not one JSON object.

    Attributes:
        why: A few words, without anything of the body.
    """

    why: str


class JsonFloat(float):
    """A JSON number with a decimal point or an exponent, together with how it was written.

    Attributes:
        literal: As written, with exponents in one spelling.
    """

    __slots__ = ("literal",)

    literal: str

    def __new__(cls, literal: str) -> Self:
        """Read a literal of JSON."""
        number = super().__new__(cls, literal)
        number.literal = str(Decimal(literal))
        return number

    @property
    def whole(self) -> int | None:
        """The integer that `12.0` is; None if more follows the point, or an exponent."""
        match = _WHOLE_LITERAL.fullmatch(self.literal)
        return int(match[1]) if match else None


def fold(name: str) -> str:
    """Return a name without case, accents and anything but letters and digits."""
    return _fold_cached(name) if len(name) <= _LONGEST_CACHED_NAME else _fold(name)


def _fold(name: str) -> str:
    return "".join(c for c in without_accents(name) if c.isalnum())


_fold_cached = functools.lru_cache(maxsize=256)(_fold)


def without_accents(text: str) -> str:
    """Return a text without case and accents."""
    if text.isascii():
        return text.casefold()
    # The dotless i is what a Turkish machine makes of "CODIGO" in lower case.
    plain = unicodedata.normalize("NFKD", text).casefold().replace("\N{LATIN SMALL LETTER DOTLESS I}", "i")
    return "".join(c for c in plain if not unicodedata.combining(c))


def json_object(pairs: list[tuple[str, object]]) -> JsonObject:
    """Return the object of these names and values.

    Args:
        pairs: In their order, repeated names included.
    """
    fields: dict[str, object] = {}
    repeated = set()
    for name, value in pairs:
        folded = fold(name)
        if folded in fields:
            repeated.add(folded)
        if fields.get(folded) is None:
            fields[folded] = value
    return JsonObject(tuple(name for name, _ in pairs), fields, frozenset(repeated))


def parse_object(text: str) -> JsonObject | NoObject:
    """Read a text that should be one JSON object.

    Args:
        text: The whole body.
    """
    try:
        tree = _DECODER.decode(text)
    except (ValueError, ArithmeticError, RecursionError):  # also numbers longer than Python converts
        return NoObject(NOT_JSON if text.strip() else "the body is empty")
    return tree if isinstance(tree, JsonObject) else NoObject(NOT_AN_OBJECT)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=json_object, parse_float=JsonFloat, parse_constant=_refuse_constant
)
