"""Check SQLite's files: the free space beside them, and who else on this machine may read or write them."""

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from smsclick._database.engine import Database
from smsclick._database.sqlite_files import files_of, path_of, why_unusable
from worker.operator.doctor.check import Check, Verdict

_LOW_DISK_BYTES = 1 << 30
_FULL_DISK_BYTES = 100 << 20


def checks(database: Database) -> Iterator[tuple[str, Callable[[], Check]]]:
    """Yield name and function of each check; none if the database is not SQLite."""
    if database.engine.dialect.name != "sqlite":
        return
    path = path_of(database.engine.url)
    yield "disk", lambda: disk(None if path is None else shutil.disk_usage(path.parent).free)
    if path is not None:
        yield "file", lambda: file(path)


def disk(free: int | None) -> Check:
    """Return what the free space means.

    Args:
        free: bytes beside SQLite's file; None for a database in memory.
    """
    if free is None:
        return Check("disk", Verdict.OK, "in memory")
    found = f"{free // (1 << 20):,} MiB free"
    if free >= _LOW_DISK_BYTES:
        return Check("disk", Verdict.OK, found)
    verdict = Verdict.FAILED if free < _FULL_DISK_BYTES else Verdict.WARNING
    return Check(
        "disk", verdict, found, "free some space: on a full disk nothing can be stored or sent, and nothing is lost"
    )


def file(path: Path) -> Check:
    """Check who else on this machine may read or write SQLite's file, which holds phones and texts."""
    if (why := why_unusable(path)) is not None:
        return Check("file", Verdict.FAILED, f"{path}: {why}", "let the user of the workers read and write it")
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in files_of(path)}
    share = "to share it with another user: chgrp GROUP and chmod 660 its files, 2770 its folder"
    for right, word in ((stat.S_IWOTH, "read and write"), (stat.S_IROTH, "read")):
        if open_ones := [each.name for each, mode in modes.items() if mode & right]:
            todo = "run: smsclick migrate, as the user whose file it is" if word == "read" else "chmod o-rwx its files"
            found = f"every user of this machine may {word} {', '.join(open_ones)} in {path.parent}"
            return Check("file", Verdict.WARNING, found, f"{todo}; {share}")
    of_folder = stat.S_IMODE(path.parent.stat().st_mode)
    if of_folder & stat.S_IWOTH and not of_folder & stat.S_ISVTX:
        found = f"every user of this machine may replace the files in {path.parent}"
        return Check("file", Verdict.WARNING, found, "chmod o-w the folder")
    shared = any(mode & stat.S_IWGRP for mode in modes.values())
    return Check("file", Verdict.OK, "its owner and a group may read it" if shared else "its owner alone may read it")
