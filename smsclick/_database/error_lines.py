"""The line for a person if a database cannot be used: the cause, and what to do about it.

The text of a driver's error names the reason why no connection was made. It is recognised here and never passed on,
because it may repeat a part of the URL. After a statement was sent, the text may contain a row, so it is ignored.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from typing import TYPE_CHECKING, Final

from smsclick._database.sqlite_files import path_of, why_unusable
from smsclick.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa
    from sqlalchemy.exc import DBAPIError

    from smsclick._database.faults import Diagnosis

_FULL_BYTES: Final = 256 * 1024
"""Free space that SQLite needs; with less it fails in many ways."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """Why no connection was made.

    Attributes:
        pattern: matches the text of the driver's error; that of MariaDB and MySQL begins with the error's number.
        words: the cause in our words.
        todo: what to do about it.
    """

    pattern: str
    words: str
    todo: str


CAUSES: Final[Sequence[Cause]] = (
    Cause(
        r"no pg_hba\.conf entry|pg_hba\.conf rejects|^\((1129|1130),",
        "it takes no connections of this user from this machine",
        "let its administrator allow them",
    ),
    Cause(
        r"authentication failed|no password supplied|role \S+ does not exist|^\((1045|1698|1862),",
        "it refused the user or password",
        "check both in DATABASE_URL",
    ),
    Cause(
        r"database \S+ does not exist|^\(1049,",
        "there is no such database",
        "create it, or name another one in DATABASE_URL",
    ),
    Cause(
        r"permission denied for database|^\(1044,",
        "its user may not use this database",
        "let its owner GRANT that, or name another one in DATABASE_URL",
    ),
    Cause(
        r"does not support SSL|doesn't support it",
        "it offers no TLS, which sslmode in DATABASE_URL asks for",
        "let its administrator switch TLS on",
    ),
    Cause(
        r"certificate|SSL error|ssl\.SSL|server does not match host name",
        "its certificate is not one that sslmode in DATABASE_URL accepts",
        "name the authority with sslrootcert (MariaDB, MySQL: ssl_ca), and the host as the certificate does",
    ),
    Cause(
        r"failed to resolve host|could not translate host name|Name or service not known|nodename nor servname"
        r"|Temporary failure in name resolution",
        "the name of its host is not known",
        "check the host in DATABASE_URL",
    ),
)

_SILENCE: Final = (
    (re.compile(r"refused", re.IGNORECASE), "the connection was refused"),
    (re.compile(r"timed out|timeout|no answer within", re.IGNORECASE), "there was no answer in time"),
    (re.compile(r"unreachable|no route", re.IGNORECASE), "its host cannot be reached"),
    (re.compile(r"no such file", re.IGNORECASE), "there is no such socket"),
)
"""Why the database may not answer, by the text of the driver's error."""

_DENIED: Final = (
    re.compile(r"permission denied for [a-z ]+ [\w.]+"),
    re.compile(r"[A-Z]+(?: [A-Z]+)*(?= command denied to user )"),
)


def unavailable(url: sa.URL, where: str, found: Diagnosis, error: DBAPIError) -> DatabaseUnavailable:
    """Return the error about a database that cannot be used now.

    Args:
        url: the address of the database.
        where: the part of the address that may be shown.
        found: the diagnosis of the error.
        error: the error, as SQLAlchemy raised it.
    """
    if (path := path_of(url)) is not None:
        why = why_unusable(path) or (_full_disk(url) if found.fault.name == "ENVIRONMENT" else None)
        problem = f"the database {where} cannot be used ({why or found.words})"
        return DatabaseUnavailable(problem, advice="check the file that DATABASE_URL names")
    if error.statement is not None:
        denied = next(filter(None, (pattern.search(str(error.orig)) for pattern in _DENIED)), None)
        if denied is not None and found.is_denied:
            problem = f"the database {where} cannot be used ({found.words}: {denied[0]})"
            return DatabaseUnavailable(problem, advice="let its owner GRANT it")
        problem = f"the database {where} cannot be used ({found.words})"
        return DatabaseUnavailable(problem, advice="check it, messages wait meanwhile")
    driver_words = str(error.orig)
    for cause in CAUSES:
        if re.search(cause.pattern, driver_words):
            return DatabaseUnavailable(f"the database {where} cannot be used ({cause.words})", advice=cause.todo)
    why = next((words for pattern, words in _SILENCE if pattern.search(driver_words)), found.words)
    problem = f"the database {where} does not answer ({why})"
    return DatabaseUnavailable(problem, advice="check DATABASE_URL and that it runs")


def _full_disk(url: sa.URL) -> str | None:
    path = path_of(url)
    if path is not None and path.parent.is_dir() and shutil.disk_usage(path.parent).free < _FULL_BYTES:
        return "its disk is full"
    return None
