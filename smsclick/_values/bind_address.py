"""Where a server listens: a host or an address, and a port."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_LARGEST_PORT: Final = 65_535
_FORM: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]{1,253}):([0-9]{1,5})")


def parse_bind(value: str) -> tuple[str, int]:
    """Return the host and the port of `127.0.0.1:8080` or `[::1]:8080`.

    Raises:
        ValueError: it is neither.
    """
    found = _FORM.fullmatch(value)
    if found is None or int(found[2]) > _LARGEST_PORT:
        raise ValueError("must be an address and a port")
    return found[1].strip("[]"), int(found[2])


def _checked(value: str) -> str:
    parse_bind(value)
    return value


BindAddress = Annotated[str, AfterValidator(_checked)]
"""The type of a setting that `parse_bind` can read."""
