"""structlog 26.1.0: `import structlog` imports rich, with pygments and attrs, where rich is installed.

Fault: `structlog.dev` and `structlog.tracebacks` import it for coloured tracebacks at a terminal, which we do not use.
It is 6 MiB in each worker and in each of their background processes. There is no switch for it.

Workaround: `install` imports structlog while rich cannot be found, unless one of the two is loaded already. After that
rich can be imported as usual, as `smsclick up` does.

Remove it when tests/unit/test_structlog_rich.py passes without it.
"""

import importlib
import sys
from typing import Any


def install() -> None:
    """Import structlog without rich; called before anything else imports structlog."""
    modules: dict[str, Any] = sys.modules
    if "structlog" in modules or "rich" in modules:
        return
    modules["rich"] = None  # which Python takes for a module that cannot be imported
    try:
        importlib.import_module("structlog")
    finally:
        del modules["rich"]
