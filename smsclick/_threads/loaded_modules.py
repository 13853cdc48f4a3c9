"""Modules that this program has loaded already, for what must not load them itself."""

import importlib
import sys
from typing import Any


def loaded(name: str) -> Any:  # noqa: ANN401 - a module, of which the type checker knows nothing
    """Return a module that is loaded, or is being loaded by another thread; it is never loaded for this call.

    `sys.modules` alone does not do: it holds a module from the beginning of its import on, with a part of its names.
    This waits until that import has ended.

    Args:
        name: with its packages, as in `sqlalchemy.orm`.

    Returns:
        The module, or None where nobody has loaded it or its import fails.
    """
    if sys.modules.get(name) is None:
        return None
    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - what another thread imports, and how that fails, must not fail this call
        return None
