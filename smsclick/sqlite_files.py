"""SQLite's files: readable for their owner alone, and made only by whoever is asked to make them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from smsclick.errors import DatabaseNotMigrated, DatabaseUnavailable

if TYPE_CHECKING:
    import sqlalchemy as sa


def path_of(url: sa.URL) -> Path | None:
    """Return the whole path of an SQLite database's file; None for one in memory, a URI, and other databases."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return None
    return Path(url.database).absolute()


def make_private(path: Path) -> None:
    """Make a file that is not there yet, and its folder, for its owner alone: it will hold phones and texts.

    SQLite gives its other files the permissions of this one.

    Raises:
        DatabaseUnavailable: It cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise DatabaseUnavailable(
            f"the database {path} cannot be made ({error.strerror}); name another file in DATABASE_URL"
        ) from None


def require_there(url: sa.URL) -> None:
    """Raise where an SQLite database is not there: from another folder a relative path would make an empty one.

    Raises:
        DatabaseNotMigrated: There is no such file.
    """
    path = path_of(url)
    if path is not None and not path.exists():
        raise DatabaseNotMigrated(
            f"there is no database at {path}; name yours with its whole path in DATABASE_URL, or make this one with: "
            "smsclick migrate"
        )
