"""`smsclick doctor` about the database: whether its commits are as durable as the promise needs, and what to set.

The promise stands on one commit: the attempt is on record before its request leaves. A database that takes back a
commit, by a crash or by a failover to a standby that lacked it, shows the message as waiting, and it is sent again.
"""

import contextlib
import dataclasses
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from smsclick._database.engine import Database
from smsclick._database.sessions import is_pooled
from smsclick._database.sqlite_files import files_of, path_of, why_unusable
from worker.operator.doctor.check import Check, Verdict

_RESTORED = "after a failover run `smsclick restored --since TIME`"
_LOW_DISK = 1 << 30
_NO_DISK = 100 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Weakness:
    """A setting that is weaker than the promise needs.

    Attributes:
        name: of the setting.
        good: its values that are strong enough.
        means: what it means for the promise.
        todo: what to set.
    """

    name: str
    good: frozenset[str]
    means: str
    todo: str


_ON = frozenset({"on", "1", "ON"})
POSTGRESQL: Sequence[Weakness] = (
    Weakness(
        "fsync",
        _ON,
        "a crash of its machine takes back commits or damages the files: messages are sent twice or lost",
        "fsync = on",
    ),
    Weakness(
        "full_page_writes",
        _ON,
        "a crash of its machine can leave half-written pages: messages are lost",
        "full_page_writes = on",
    ),
    Weakness(
        "synchronous_commit",
        frozenset({"on", "remote_apply"}),
        "a crash takes back commits of producers that do not ask for more (workers do): messages are lost",
        "synchronous_commit = on for the database, its roles and producers",
    ),
)
MYSQL: Sequence[Weakness] = (
    Weakness(
        "innodb_flush_log_at_trx_commit",
        frozenset({"1"}),
        "a crash of its machine takes back a second of commits: messages are sent twice or lost",
        "innodb_flush_log_at_trx_commit = 1",
    ),
    Weakness(
        "innodb_doublewrite",
        _ON,
        "a crash of its machine can leave half-written pages: messages are lost",
        "innodb_doublewrite = ON",
    ),
    Weakness(
        "sync_binlog",
        frozenset({"1"}),
        "after a crash of its machine replicas differ from it, and a failover takes back commits",
        "sync_binlog = 1",
    ),
)


def checks(database: Database) -> Iterator[tuple[str, Callable[[], Check]]]:
    """The checks of this kind of database by name; each may raise as `Database.read` does."""
    backend = database.engine.dialect.name
    if backend == "postgresql":
        yield "durability", lambda: _postgresql(database)
        yield "standbys", lambda: _postgresql_standbys(database)
    elif backend == "sqlite":
        yield "durability", lambda: _sqlite(database)
        yield "disk", lambda: disk(_free_bytes(database))
        path = path_of(database.engine.url)
        if path is not None:
            yield "file", lambda: file(path)
    else:
        yield "durability", lambda: _mysql(database)
        yield "standbys", lambda: _mysql_replicas(database)


def judged(table: Sequence[Weakness], values: Mapping[str, str]) -> Check:
    """What settings mean for the promise; those that the server does not have are passed over."""
    weak = [each for each in table if each.name in values and values[each.name] not in each.good]
    if not weak:
        return Check("durability", Verdict.OK, "a commit outlasts a crash")
    found = "; ".join(f"{each.name} is {values[each.name]}: {each.means}" for each in weak)
    return Check("durability", Verdict.WARNING, found, f"set {', '.join(each.todo for each in weak)}")


def disk(free: int | None) -> Check:
    """What room is left beside SQLite's file, in bytes."""
    if free is None:
        return Check("disk", Verdict.OK, "in memory")
    found = f"{free // (1 << 20):,} MiB free"
    if free >= _LOW_DISK:
        return Check("disk", Verdict.OK, found)
    verdict = Verdict.FAILED if free < _NO_DISK else Verdict.WARNING
    return Check("disk", verdict, found, "make room: nothing can be stored or sent on a full disk, and nothing is lost")


def _postgresql(database: Database) -> Check:
    with database.read() as connection:
        if connection.scalar(sa.text("SELECT pg_is_in_recovery()")):
            return Check(
                "durability",
                Verdict.FAILED,
                "this is a standby, which takes no writes: nothing is sent",
                "name the primary in DATABASE_URL, or all hosts with target_session_attrs=read-write",
            )
        if connection.scalar(sa.text("SHOW default_transaction_read_only")) == "on":
            return Check(
                "durability",
                Verdict.FAILED,
                "transactions are read-only by default: nothing is sent",
                "set default_transaction_read_only = off for this database and role",
            )
        values = {name: str(connection.scalar(sa.text(f"SHOW {name}"))) for name in ("fsync", "full_page_writes")}
        # Not our session's: what others get who ask for nothing.
        default = connection.scalar(
            sa.text(
                "SELECT split_part(word, '=', 2) FROM pg_db_role_setting, unnest(setconfig) AS word "
                "WHERE word LIKE 'synchronous_commit=%' AND setdatabase IN (0, (SELECT oid FROM pg_database "
                "WHERE datname = current_database())) AND setrole IN (0, (SELECT oid FROM pg_roles "
                "WHERE rolname = current_user)) ORDER BY setrole DESC, setdatabase DESC LIMIT 1"
            )
        )
        values["synchronous_commit"] = str(
            default or connection.scalar(sa.text("SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'"))
        )
        pooled = is_pooled(connection)
    found = judged(POSTGRESQL, values)
    if pooled and found.verdict is Verdict.OK:
        return dataclasses.replace(found, found=f"{found.found}; through a pooler, which costs a round trip each")
    return found


def _postgresql_standbys(database: Database) -> Check:
    with database.read() as connection:
        # Without the right to see others' rows, state and sync_state are NULL.
        rows = connection.execute(sa.text("SELECT sync_state FROM pg_stat_replication")).scalars().all()
        names = str(connection.scalar(sa.text("SHOW synchronous_standby_names")))
    return standbys(len(rows), synchronous=bool(names) or any(each in {"sync", "quorum"} for each in rows))


def standbys(count: int, *, synchronous: bool) -> Check:
    """What standbys mean for the promise."""
    if synchronous:
        return Check("standbys", Verdict.OK, f"{count} connected; commits wait for them, so a failover loses none")
    if not count:
        return Check("standbys", Verdict.OK, "none")
    return Check(
        "standbys",
        Verdict.WARNING,
        f"{count} connected, and commits do not wait for them: a failover takes back the last ones, and what they had "
        "recorded as sent would be sent again",
        f"set synchronous_standby_names (MariaDB: semi-synchronous replication), or {_RESTORED}",
    )


def _mysql(database: Database) -> Check:
    wanted = [*(each.name for each in MYSQL), "log_bin", "read_only", "super_read_only"]
    with database.read() as connection:
        values = _variables(connection, wanted)
    if values.get("read_only", "OFF") not in {"OFF", "0"} or values.get("super_read_only", "OFF") not in {"OFF", "0"}:
        return Check(
            "durability",
            Verdict.FAILED,
            "this server is read-only: nothing is sent",
            "name the primary in DATABASE_URL, or SET GLOBAL read_only = OFF",
        )
    if values.get("log_bin", "OFF") in {"OFF", "0"}:
        values.pop("sync_binlog", None)
    return judged(MYSQL, values)


def _mysql_replicas(database: Database) -> Check:
    with database.read() as connection:
        semi = _variables(connection, ["rpl_semi_sync_master_enabled", "rpl_semi_sync_source_enabled"])
        count = 0
        with contextlib.suppress(DBAPIError):
            count = connection.scalar(
                sa.text("SELECT count(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'")
            )
    return standbys(count, synchronous=any(value in _ON for value in semi.values()))


def _variables(connection: sa.Connection, names: Sequence[str]) -> dict[str, str]:
    query = sa.text("SHOW GLOBAL VARIABLES WHERE Variable_name IN :names").bindparams(
        sa.bindparam("names", expanding=True)
    )
    return {str(row[0]).lower(): str(row[1]) for row in connection.execute(query, {"names": list(names)})}


def _sqlite(database: Database) -> Check:
    with database.read() as connection:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous: Any = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if synchronous >= 2 and journal in {"wal", "delete", "truncate", "persist"}:
        return Check("durability", Verdict.OK, "each commit is synced to the disk; one machine and its disk hold all")
    return Check(
        "durability",
        Verdict.WARNING,
        f"journal_mode is {journal} and synchronous {synchronous}: a power cut takes back commits, and messages are "
        "sent twice or lost",
        "keep the file on a local disk that takes journal_mode=WAL and synchronous=FULL",
    )


def file(path: Path) -> Check:
    """Who else on this machine may read or write SQLite's file, which holds phones and texts."""
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


def _free_bytes(database: Database) -> int | None:
    path = path_of(database.engine.url)
    return shutil.disk_usage(path.parent).free if path is not None else None
