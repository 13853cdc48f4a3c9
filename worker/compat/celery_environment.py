"""Celery's own environment variables, which belong to other apps: only the contract's variables count.

A shop's Celery app and ours often share a machine and its environment. Celery would take the shop's broker for ours
(`CELERY_BROKER_READ_URL`), its options (`CELERY_WORKER_QUEUES`), its loader and its Django settings.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

from smsclick._values.settings_sources import FILE
from smsclick.errors import SettingsError

OURS = "CELERY_BROKER_URL"
_OURS_FILE = f"{OURS}{FILE}"
_ALIAS = "BROKER_URL"
"""Celery's command line takes it for its option `--broker`, and writes that over CELERY_BROKER_URL."""

_AT_START = Path("/proc/self/environ")
"""The environment that this process was started with; Linux keeps it."""


def ignore(environment: MutableMapping[str, str], arguments: list[str], at_start: Path = _AT_START) -> None:
    """Take all of Celery's variables but ours out of the environment.

    Args:
        environment: of this process.
        arguments: of its command line; `--broker` among them is a person's wish and counts.
        at_start: a file with the environment as it was when the process started.

    Raises:
        SettingsError: BROKER_URL has replaced our broker, and the system does not tell what ours was.
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
        raise SettingsError(f"{_ALIAS}: Celery takes it for {OURS}; unset it where smsclick's workers start") from None
    pairs = (os.fsdecode(line).partition("=") for line in lines)
    ours = {name: value for name, _, value in pairs if name == OURS}
    if ours:
        environment.update(ours)
    else:
        del environment[OURS]
