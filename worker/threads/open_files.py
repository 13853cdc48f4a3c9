"""The system's limit of open files, which many calls in flight reach: each has a connection of its own."""

import resource

from smsclick._logs.event_log import EventLog

log = EventLog(__name__)

_OTHERS = 200
"""Files for everything else: the database, the broker, libraries."""


def allow(connections: int) -> int:
    """Raise this process's limit of open files as far as so many connections need and the system allows.

    Args:
        connections: how many are wanted.

    Returns:
        How many there may be.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        most = soft  # some systems have a lower limit than they say
    allowed = max(1, min(connections, most - _OTHERS))
    if allowed < connections:
        log.warning("open_files_few", calls=allowed, wanted=connections)
    return allowed
