"""Check whether the database's commits are as durable as the promise needs, and say what to set.

The promise depends on one commit: the attempt is on record before its request leaves. If a database takes back this
commit, after a crash or a failover to a standby that lacked it, the message looks as if it waited and is sent again.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from smsclick._database.engine import Database
from smsclick._database.sessions import is_pooled
from worker.operator.doctor.check import Check, Verdict

_RESTORED = "after a failover run `smsclick restored --since TIME`"


@dataclasses.dataclass(frozen=True, slots=True)
class Requirement:
    """A setting of the database that the promise depends on.

    Attributes:
        name: of the setting.
        good: the values that are strong enough.
        means: what any other value means for the promise.
        todo: what to set.
    """

    name: str
    good: frozenset[str]
    means: str
    todo: str


_ON = frozenset({"on", "1", "ON"})
POSTGRESQL: Sequence[Requirement] = (
    Requirement(
        "fsync",
        _ON,
        "a crash of its machine takes back commits or damages the files: messages are sent twice or lost",
        "fsync = on",
    ),
    Requirement(
        "full_page_writes",
        _ON,
        "a crash of its machine can leave half-written pages: messages are lost",
        "full_page_writes = on",
    ),
    Requirement(
        "synchronous_commit",
        frozenset({"on", "remote_apply"}),
        "a crash takes back commits of producers that do not ask for more (workers do): messages are lost",
        "synchronous_commit = on for the database, its roles and producers",
    ),
)
MYSQL: Sequence[Requirement] = (
    Requirement(
        "innodb_flush_log_at_trx_commit",
        frozenset({"1"}),
        "a crash of its machine takes back a second of commits: messages are sent twice or lost",
        "innodb_flush_log_at_trx_commit = 1",
    ),
    Requirement(
        "innodb_doublewrite",
        _ON,
        "a crash of its machine can leave half-written pages: messages are lost",
        "innodb_doublewrite = ON",
    ),
    Requirement(
        "sync_binlog",
        frozenset({"1"}),
        "after a crash of its machine replicas differ from it, and a failover takes back commits",
        "sync_binlog = 1",
    ),
)


def checks(database: Database) -> Iterator[tuple[str, Callable[[], Check]]]:
    """Yield name and function of each check for this kind of database; each can raise as `Database.read` does."""
    backend = database.engine.dialect.name
    if backend == "postgresql":
        yield "durability", lambda: _postgresql(database)
        yield "standbys", lambda: _postgresql_standbys(database)
    elif backend == "sqlite":
        yield "durability", lambda: _sqlite(database)
    else:
        yield "durability", lambda: _mysql(database)
        yield "standbys", lambda: _mysql_replicas(database)


def judge(requirements: Sequence[Requirement], values: Mapping[str, str]) -> Check:
    """Return what a server's settings mean for the promise; a setting that the server does not have is ignored."""
    weak = [each for each in requirements if each.name in values and values[each.name] not in each.good]
    if not weak:
        return Check("durability", Verdict.OK, "a commit survives a crash")
    found = "; ".join(f"{each.name} is {values[each.name]}: {each.means}" for each in weak)
    return Check("durability", Verdict.WARNING, found, f"set {', '.join(each.todo for each in weak)}")


def _postgresql(database: Database) -> Check:
    with database.read() as connection:
        if connection.scalar(sa.text("SELECT pg_is_in_recovery()")):
            return Check(
                "durability",
                Verdict.FAILED,
                "this is a standby, which refuses writes: nothing is sent",
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
        # The default that producers' sessions get; our own session sets the value itself.
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
    found = judge(POSTGRESQL, values)
    if pooled and found.verdict is Verdict.OK:
        return dataclasses.replace(
            found, found=f"{found.found}; through a pooler, which costs a round trip for each transaction"
        )
    return found


def _postgresql_standbys(database: Database) -> Check:
    with database.read() as connection:
        # sync_state is NULL for a role that may not see the rows of others.
        rows = connection.execute(sa.text("SELECT sync_state FROM pg_stat_replication")).scalars().all()
        names = str(connection.scalar(sa.text("SHOW synchronous_standby_names")))
    return standbys(len(rows), synchronous=bool(names) or any(each in {"sync", "quorum"} for each in rows))


def standbys(count: int, *, synchronous: bool) -> Check:
    """Return what standbys mean for the promise.

    Args:
        count: how many are connected.
        synchronous: whether commits wait for them.
    """
    if synchronous:
        return Check("standbys", Verdict.OK, f"{count} connected; commits wait for them, so a failover loses none")
    if not count:
        return Check("standbys", Verdict.OK, "none")
    return Check(
        "standbys",
        Verdict.WARNING,
        f"{count} connected, and commits do not wait for them: a failover takes back the latest commits, and messages "
        "that these recorded as sent are sent again",
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
    return judge(MYSQL, values)


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
        return Check("durability", Verdict.OK, "each commit is synced to the disk; there is one copy, on this machine")
    return Check(
        "durability",
        Verdict.WARNING,
        f"journal_mode is {journal} and synchronous {synchronous}: a power cut takes back commits, and messages are "
        "sent twice or lost",
        "keep the file on a local disk, where journal_mode=WAL and synchronous=FULL work",
    )
