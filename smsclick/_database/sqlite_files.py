"""SQLite's files: only their owner can read them, and only a command that is meant to makes them."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from smsclick.errors import DatabaseNotMigrated, DatabaseUnavailable

if TYPE_CHECKING:
    import sqlalchemy as sa


def path_of(url: sa.URL) -> Path | None:
    """Return the whole path of the file of an SQLite database; None for one in memory, a URI, and other databases."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return None
    return Path(url.database).absolute()


def make_private(path: Path) -> None:
    """Make a missing file and its folder for their owner alone, because the file will contain phones and texts.

    SQLite gives its other files the permissions of this one.

    Raises:
        DatabaseUnavailable: The file or its folder cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        # If a file has the name of the folder, the system only says that something exists.
        why = "its folder is a file" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise DatabaseUnavailable(
            f"the database {path} cannot be made ({why})", advice="name another file in DATABASE_URL"
        ) from None


def why_unusable(path: Path) -> str | None:
    """Return, in words, why this user cannot use an SQLite file; None if the permissions show no reason.

    The file is not opened: closing it would release the locks that SQLite holds on it in this process.
    """
    if path.is_dir():
        return "it is a folder"
    if not path.exists():
        return None
    for right, word in ((os.R_OK, "read"), (os.W_OK, "write to")):
        if not os.access(path, right, effective_ids=os.access in os.supports_effective_ids):
            return f"this user may not {word} it"
    if not os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return f"this user may not write to its folder, where SQLite keeps {path.name}-wal"
    return None


def files_of(path: Path) -> list[Path]:
    """Return the existing files of an SQLite database: its own, and those that SQLite keeps beside it."""
    beside = (path.with_name(path.name + ending) for ending in ("", "-wal", "-shm", "-journal"))
    return [each for each in beside if each.is_file()]


def make_existing_private(path: Path) -> list[Path]:
    """Remove the right of other users to read a database of ours; return the files that were changed.

    A file that is shared on purpose stays as it is (docs/decisions/0045-files-that-others-may-read.md): a group that
    may write keeps its rights, and a file that everybody may write to is not changed.
    """
    changed = []
    for each in files_of(path):
        found = each.stat()
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid != os.geteuid() or mode & stat.S_IWOTH or not mode & stat.S_IROTH:
            continue
        each.chmod(mode & ~(stat.S_IRWXO if mode & stat.S_IWGRP else stat.S_IRWXO | stat.S_IRWXG))
        changed.append(each)
    return changed


def require_there(url: sa.URL) -> None:
    """Check that an SQLite database exists: in another folder, a relative path would make an empty one.

    Raises:
        DatabaseNotMigrated: The file does not exist.
    """
    path = path_of(url)
    if path is not None and not path.exists():
        raise DatabaseNotMigrated(
            f"there is no database at {path}",
            advice="name yours with its whole path in DATABASE_URL, or make this one with: smsclick migrate",
        )
