"""Every statement that passes an engine, with the plan by which the database really ran it, and what is wrong with it.

The plan is read right before the statement runs, in its transaction and with its parameters: the database runs it
once for the plan, behind a savepoint, and once for good.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.sql import operators, visitors

from smsclick.contract import metadata
from tests.large_database import SMALL
from worker.tracking import bracket_claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    _Any = Any  # a driver's cursor, a plan, a statement

MOST_ROWS = 5000
"""A statement may look at so many rows of a table that grows, however many there are."""

_ERASING = "erased_at IS NULL"
_MOST_ERASING = 45_000
"""MariaDB's index of what waits to be erased begins with all that is on its way: walked over, entry by entry."""

_FOLLOWED = "smsclick_messages.id_mensaje IS NOT NULL ORDER BY smsclick_messages.sent_at LIMIT "
"""The end of what `worker.tracking.bracket_claim` reads; a claim reads at most `MOST_MESSAGES`."""

_RANGE = (operators.eq, operators.in_op)

# What `worker.sql.bulk` writes by itself, and no more than that.
_RECORDS = r"FROM json_to_recordset\(%\((?:rows\d*|added)\)s::json\) AS new\([^;]*\)"
_SAME = r'"\w+" = new\."\w+"'
_FOUND = rf"(?P<found>old\.{_SAME}(?: AND old\.{_SAME})*)"
_UPDATE = re.compile(rf"UPDATE (?P<table>\w+) AS old SET {_SAME}(?:, {_SAME})* {_RECORDS} WHERE {_FOUND}")  # noqa: S608
_CHANGE_AND_INSERT = re.compile(
    r"WITH changed AS \((?P<update>UPDATE .*) RETURNING 1\), (?P<more>(?:inserted0|added) AS \(.*)\) "
    r"SELECT \(SELECT count\(\*\) FROM changed\), (?:NULL|\(SELECT array_agg\(id\) FROM added\))"
)
_ADD = re.compile(
    rf'UPDATE \w+ AS old SET "amount" = old\."amount" \+ new\."amount" {_RECORDS} '  # noqa: S608
    rf'WHERE old\."id" = new\."id"(?: AND old\.{_SAME})* RETURNING old\.id'
)
_INSERT = re.compile(rf'INSERT INTO \w+ \((?P<names>[\w", ]+)\) SELECT (?P=names) {_RECORDS}')


@dataclasses.dataclass(frozen=True, slots=True)
class Scan:
    """How one table was read.

    Attributes:
        rows: how many were looked at, those included that a filter threw away.
        whole: whether nothing but the end of the table would have ended it.
    """

    table: str
    rows: int
    whole: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Ran:
    """One statement that ran.

    Attributes:
        bounds: whether it says by itself that it wants few rows.
        most: how many rows of a table that grows it may look at.
    """

    text: str
    plan: str
    scans: Sequence[Scan]
    bounds: bool
    most: int

    @property
    def faults(self) -> list[str]:
        """What makes it slower the larger its tables are; empty where it is flat."""
        large = [scan for scan in self.scans if scan.table not in SMALL]
        found = [f"reads all of {scan.table}" for scan in large if scan.whole]
        found += [f"looks at {scan.rows} rows of {scan.table}" for scan in large if scan.rows > self.most]
        if large and not self.bounds:
            found.append("has neither a key nor both an order and a limit")
        return found

    def __str__(self) -> str:
        return f"{'; '.join(self.faults) or 'flat'}\n{self.text}\n{self.plan}"


@contextlib.contextmanager
def recorded(engine: sa.Engine) -> Iterator[list[Ran]]:
    """Collect what runs on an engine meanwhile; an INSERT only where it has a SELECT in it."""
    ran: list[Ran] = []

    def before(
        connection: sa.Connection,
        cursor: object,
        statement: str,
        parameters: _Any,
        context: _Any,
        many: bool,  # noqa: FBT001
    ) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")):
            return
        if statement.lstrip().upper().startswith("INSERT") and "SELECT" not in statement.upper():
            return
        given = parameters[0] if many else parameters
        plan, scans = _explain(connection, statement, given)
        text = " ".join(statement.split())
        compiled = getattr(context, "compiled", None)
        bounds = _is_bound_text(text) if compiled is None else _is_bound(compiled.statement)
        most = _most(text, given, mariadb=connection.dialect.name != "postgresql")
        ran.append(Ran(text, plan, scans, bounds, most))

    event.listen(engine, "before_cursor_execute", before)
    try:
        yield ran
    finally:
        event.remove(engine, "before_cursor_execute", before)


def _explain(connection: sa.Connection, statement: str, parameters: _Any) -> tuple[str, list[Scan]]:
    dbapi = connection.connection
    postgresql = connection.dialect.name == "postgresql"
    word = "EXPLAIN (ANALYZE, FORMAT JSON)" if postgresql else "ANALYZE FORMAT=JSON"
    cursor = dbapi.cursor()
    try:
        cursor.execute("SAVEPOINT plan")
        before = 0 if postgresql else _handled(cursor)
        cursor.execute(f"{word} {statement}", parameters)
        (answer,) = cursor.fetchone() or ("[]",)
        read = 0 if postgresql else _handled(cursor) - before
        cursor.execute("ROLLBACK TO SAVEPOINT plan")
        cursor.execute("RELEASE SAVEPOINT plan")
        plan = answer if isinstance(answer, list | dict) else json.loads(answer)
        nodes = list(_nodes(plan))
        scans = _postgresql(cursor, nodes) if postgresql else _mariadb(nodes, read)
    finally:
        cursor.close()
    return json.dumps(plan, indent=1), scans


def _handled(cursor: _Any) -> int:
    """How many rows of tables and entries of indexes this session has read: no plan of MariaDB shows that in full."""
    cursor.execute("SHOW SESSION STATUS LIKE 'Handler%'")
    return sum(int(row[1]) for row in cursor.fetchall() if row[0].startswith(("Handler_read", "Handler_icp_attempts")))


def _nodes(plan: _Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, dict):
        yield plan
        for each in plan.values():
            yield from _nodes(each)
    elif isinstance(plan, list):
        for each in plan:
            yield from _nodes(each)


def _postgresql(cursor: _Any, nodes: Sequence[dict[str, Any]]) -> list[Scan]:
    scans = []
    for node in nodes:
        if "Relation Name" not in node or "Scan" not in node.get("Node Type", ""):
            continue
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        rows = round((node.get("Actual Rows", 0) + removed) * node.get("Actual Loops", 1))
        whole = node["Node Type"] == "Seq Scan" or (
            "Index Name" in node
            and "Index Cond" not in node
            and "Filter" in node
            and not _is_partial(cursor, node["Index Name"])
        )
        scans.append(Scan(node["Relation Name"], rows, whole))
    return scans


def _is_partial(cursor: _Any, index: str) -> bool:
    cursor.execute("SELECT indpred IS NOT NULL FROM pg_index WHERE indexrelid = %s::regclass", (index,))
    return bool(cursor.fetchone()[0])


def _mariadb(nodes: Sequence[dict[str, Any]], read: int) -> list[Scan]:
    scans = []
    for node in nodes:
        if "table_name" not in node or "access_type" not in node:
            continue
        filtered = "attached_condition" in node
        whole = node["access_type"] == "ALL" or (node["access_type"] == "index" and filtered)
        # A temporary table or a constant row is none of ours.
        if node["table_name"].startswith("smsclick_") or node["table_name"] == "anon_1":
            scans.append(Scan(node["table_name"], 0, whole))
    # The counters cover all tables together; the first table stands for them.
    return [dataclasses.replace(scan, rows=read) if index == 0 else scan for index, scan in enumerate(scans)]


def _most(text: str, parameters: _Any, *, mariadb: bool) -> int:
    if mariadb and _ERASING in text:
        return _MOST_ERASING
    if _FOLLOWED in text and bracket_claim.MOST_MESSAGES in parameters.values():
        # MariaDB counts an entry twice: as it is met, and as its row is read.
        return 2 * bracket_claim.MOST_MESSAGES + 1 if mariadb else bracket_claim.MOST_MESSAGES
    return MOST_ROWS


def _is_bound_text(text: str) -> bool:
    """As `_is_bound`, of SQL that went to the driver as it is: rows of a record set, each found by a key or new."""
    parts = _CHANGE_AND_INSERT.fullmatch(text)
    if parts is not None:
        _, *more = re.split(r"(?:\), |^)(?:inserted\d|added) AS \(", parts["more"])
        return _is_bound_text(parts["update"]) and all(_INSERT.fullmatch(each) or _ADD.fullmatch(each) for each in more)
    if _INSERT.fullmatch(text):
        return True
    update = _UPDATE.fullmatch(text)
    if update is None:
        return False
    columns = metadata.tables[update["table"]].c
    return any(_is_key(columns[name]) for name in re.findall(r'old\."(\w+)"', update["found"]))


def _is_bound(statement: _Any) -> bool:
    """Whether every part that reads a table asks for rows by a key, or for the first few in an order.

    Without an order a planner may well read the table from its beginning, in the hope of meeting a few soon.
    """
    if isinstance(statement, sa.CompoundSelect):
        return all(_is_bound(each) for each in statement.selects)
    if isinstance(statement, sa.Update | sa.Delete):
        return _is_keyed(statement.whereclause)
    if not isinstance(statement, sa.Select):
        return False
    sources = set(_sources(*statement.columns_clause_froms, *statement._from_obj))
    inner = [each.element for each in sources if isinstance(each, sa.Subquery)]
    joins = [each for each in statement._from_obj if isinstance(each, sa.Join)]
    # Further tables cost a row for each row of what is joined to them, if they are joined by a key.
    if inner and (len(inner) == len(sources) or (joins and all(_is_keyed(each.onclause) for each in joins))):
        return all(_is_bound(each) for each in inner)
    ordered = statement._limit_clause is not None and bool(statement._order_by_clauses)
    return ordered or _is_keyed(statement.whereclause)


def _sources(*given: _Any) -> Iterator[_Any]:
    """What is read, each side of a join by itself; a parameter's own values are not read from a table."""
    for each in given:
        if isinstance(each, sa.Join):
            yield from _sources(each.left, each.right)
        elif isinstance(each, sa.Lateral):
            yield from _sources(each.element)
        elif not isinstance(each, sa.TableValuedAlias):
            yield each


def _is_keyed(where: _Any) -> bool:
    if where is None:
        return False
    for part in visitors.iterate(where):
        if not isinstance(part, sa.BinaryExpression) or part.operator not in _RANGE:
            continue
        for side in (part.left, part.right):
            if isinstance(side, sa.Column) and _is_key(side):
                return True
    return False


def _is_key(column: sa.Column[Any]) -> bool:
    """Whether a value of it belongs to one row, or to the few that belong to another table's row."""
    of: object = column.table
    if not isinstance(of, sa.Table):  # a subquery
        return False
    unique = column.unique or any(i.unique and list(i.columns) == [column] for i in column.table.indexes)
    return bool(column.primary_key or unique or column.foreign_keys)
