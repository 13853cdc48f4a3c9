"""Celery 5.7.0: it reads environment variables that belong to other Celery apps on the same machine.

Fault: Celery reads `CELERY_BROKER_READ_URL`, `CELERY_WORKER_QUEUES`, its loader and its Django settings from the
environment, whatever the app configures. An online shop's Celery app and ours often share a machine and its
environment: our worker would then use the shop's broker. Celery's command line also reads `BROKER_URL` as its option
`--broker`, and writes it over `CELERY_BROKER_URL`.

Workaround: `ignore` removes all of Celery's variables except those of our contract.

Remove it when tests/unit/test_celery_environment.py shows that Celery no longer reads them.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

from smsclick._values.settings_sources import FILE
from smsclick.errors import SettingsError

OURS = "CELERY_BROKER_URL"
_OURS_FILE = f"{OURS}{FILE}"
_ALIAS = "BROKER_URL"
"""Celery's command line reads it as its option `--broker`, and writes it over CELERY_BROKER_URL."""

_AT_START = Path("/proc/self/environ")
"""The environment at the start of this process, which Linux keeps."""


def ignore(environment: MutableMapping[str, str], arguments: list[str], at_start: Path = _AT_START) -> None:
    """Remove all of Celery's variables except ours from the environment.

    Args:
        environment: of this process; changed in place.
        arguments: of its command line; its option `--broker` counts.
        at_start: a file with the environment at the start of the process.

    Raises:
        SettingsError: BROKER_URL has replaced our broker, and the system does not keep the original value.
    """
    for name in [name for name in environment if name.startswith("CELERY_") and name not in {OURS, _OURS_FILE}]:
        del environment[name]
    asked = any(word in {"-b", "--broker"} or word.startswith(("-b", "--broker=")) for word in arguments)
    if asked:
        environment.pop(_OURS_FILE, None)
    elif environment.get(_ALIAS) and environment.get(_ALIAS) == environment.get(OURS):
        _restore(environment, at_start)


def _restore(environment: MutableMapping[str, str], at_start: Path) -> None:
    try:
        lines = at_start.read_bytes().split(b"\0")
    except OSError:
        raise SettingsError(f"{_ALIAS}: Celery reads it as {OURS}; unset it where smsclick's workers start") from None
    pairs = (os.fsdecode(line).partition("=") for line in lines)
    ours = {name: value for name, _, value in pairs if name == OURS}
    if ours:
        environment.update(ours)
    else:
        del environment[OURS]
