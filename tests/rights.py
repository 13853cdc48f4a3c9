"""The rights of docs/rights.md: the page's statements, each right by itself, and what is used of them."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import event

from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs" / "rights.md").read_text(encoding="utf-8")
ROLES = ("sms_migrator", "sms_worker", "sms_web", "shop", "sms_reader", "sms_metrics")
PASSWORD = "of-a-test"


@dataclasses.dataclass(frozen=True)
class Site:
    """A database of one kind, its administrator, and the page's statements for it."""

    kind: str
    admin: sa.Engine
    url: sa.URL
    statements: dict[str, list[str]]

    def grant(self, role: str) -> None:
        """As the page says."""
        self.run(*self.statements[role])

    def run(self, *statements: str) -> None:
        """As the administrator."""
        with self.admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for each in statements:
                connection.exec_driver_sql(each.replace("%", "%%") if self.kind == "mariadb" else each)

    def of(self, role: str) -> str:
        """The URL for an account."""
        return self.url.set(username=role, password=PASSWORD).render_as_string(hide_password=False)


def statements_of(kind: str) -> dict[str, list[str]]:
    """The page's statements for each account, for `postgres` or `mariadb`."""
    section = PAGE.partition("## PostgreSQL" if kind == "postgres" else "## MariaDB and MySQL")[2].partition("\n## ")[0]
    found = re.findall(r"^```sql\n-- (\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return {role: [each.strip() for each in body.split(";") if each.strip()] for role, body in found}


def each_right(statements: list[str]) -> list[tuple[str, str]]:
    """Every single right of GRANT statements, as the statements that take it away and give it back."""
    found: list[tuple[str, str]] = []
    for statement in statements:
        match = re.fullmatch(r"GRANT (.*?) ON (SEQUENCE |SCHEMA )?(.*) TO (\S+)", statement, re.DOTALL)
        assert match is not None
        privileges, kind, objects, role = match[1], match[2] or "", match[3], match[4]
        columns = re.fullmatch(r"(\w+) \((.*)\)", privileges)
        single = (
            [f"{columns[1]} ({each.strip()})" for each in columns[2].split(",")]
            if columns
            else [each.strip() for each in privileges.split(",")]
        )
        found += [
            (
                f"REVOKE {right} ON {kind}{place.strip()} FROM {role}",
                f"GRANT {right} ON {kind}{place.strip()} TO {role}",
            )
            for right in single
            for place in objects.split(",")
        ]
    return found


_VERBS = (
    ("INSERT", r"INSERT INTO (smsclick_\w+)"),
    ("UPDATE", r"UPDATE (smsclick_\w+)"),
    ("DELETE", r"DELETE FROM (smsclick_\w+)"),
    ("SELECT", r"(?<!DELETE )(?:FROM|JOIN) (smsclick_\w+)"),
)


_SET = re.compile(r"UPDATE (smsclick_\w+)(?: AS old)? SET (.*?)(?: FROM | WHERE |$)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Used:
    """What was asked of the database.

    Attributes:
        rights: the verb or `UPDATE (column)`, and the table.
        denied: what the database said where a right was missing.
    """

    rights: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    denied: list[str] = dataclasses.field(default_factory=list)

    def unused(self, statements: list[str], *, columns: bool = True) -> set[tuple[str, str]]:
        """The rights on tables that these statements grant and nothing used; with those on columns or without."""
        takes = [take for take, _ in each_right(statements)]
        found = [re.fullmatch(r"REVOKE (\w+(?: \(\S+\))?) ON (?:\w+\.)?(smsclick_\w+) FROM .*", each) for each in takes]
        granted = {(re.sub("[`]", "", each[1]), each[2]) for each in found if each}
        assert len(granted) > 20
        return {each for each in granted - self.rights if columns or " " not in each[0]}


@contextlib.contextmanager
def used(engine: sa.Engine | type[sa.Engine], account: str | None = None) -> Iterator[Used]:
    """What is asked of which table meanwhile; with an account only what it asks."""
    seen = Used()

    def before(connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        if account is not None and connection.engine.url.username != account:
            return
        plain = re.sub(r"[`\"]", "", statement)
        for verb, pattern in _VERBS:
            seen.rights.update((verb, table) for table in re.findall(pattern, plain))
        for table, columns in _SET.findall(plain):
            seen.rights.update((f"UPDATE ({each})", table) for each in re.findall(r"(?:^|, )(\w+) ?=", columns))
        if " WHERE " in plain:  # to find the row is to read it
            seen.rights.update(
                ("SELECT", table) for table in re.findall(r"(?:UPDATE|DELETE FROM) (smsclick_\w+)", plain)
            )
        if "FOR UPDATE" in plain or "FOR NO KEY UPDATE" in plain:
            seen.rights.update(("UPDATE", table) for table in re.findall(r"FROM (smsclick_\w+)", plain)[:1])

    def failed(context: sa.ExceptionContext) -> None:
        if "denied" in str(context.original_exception):
            seen.denied.append(f"{context.original_exception}: {context.statement}")

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "handle_error", failed)
    yield seen
    event.remove(engine, "before_cursor_execute", before)
    event.remove(engine, "handle_error", failed)
