"""What plain SQL may write into a row that no program can read, or that no message may be: for each database.

Values are SQL as it stands in an INSERT, because that is how they come: from psql, from another language's driver,
from a file that was loaded in the wrong encoding.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import sqlalchemy as sa

from smsclick._database import constraints

if TYPE_CHECKING:
    from smsclick._database.engine import Database

SECRET = "secreto"
"""A part of the text of every odd row: it may stand in no log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Odd:
    """One kind of odd row.

    Attributes:
        name: of the kind.
        columns: SQL of the columns that are odd.
        refused: whether the database itself refuses it.
        becomes: the state that it ends in, where nothing refuses it; `any` where the provider decides it.
    """

    name: str
    columns: dict[str, str]
    refused: bool = True
    becomes: str = "failed"

    def __str__(self) -> str:
        return self.name


_ANYWHERE = (
    Odd("a state of its own", {"state": "'bogus'"}, becomes="bogus"),
    Odd("no due time", {"due_at": "NULL"}, becomes="sent"),
    Odd("negative attempts", {"attempts": "-1"}, becomes="sent"),
    Odd("attempts at the end of the integers", {"attempts": "2147483647"}, becomes="sent"),
    Odd("a status that the manual does not know", {"estatus_mensaje": "9"}, becomes="sent"),
)

POSTGRESQL = (
    *_ANYWHERE,
    Odd("valid forever", {"expires_at": "'infinity'"}),
    Odd("valid until before time", {"expires_at": "'-infinity'"}, becomes="failed"),
    Odd("the year 294000", {"expires_at": "'294000-01-01 00:00:00+00'"}),
    Odd("sent in the year 294000", {"send_at": "'294000-01-01 00:00:00+00'"}),
    Odd("before Christ", {"send_at": "'4000-01-01 00:00:00+00 BC'"}),
    Odd("due before time", {"due_at": "'-infinity'"}, becomes="sent"),
    Odd("created in the year 294000", {"created_at": "'294000-01-01 00:00:00+00'"}, refused=True, becomes="sent"),
    Odd("a text of a megabyte", {"text": f"repeat('{SECRET}', 150000)"}),
)

MARIADB = (
    *_ANYWHERE,
    Odd("the zero date", {"expires_at": "'0000-00-00 00:00:00'"}),
    Odd("a month that is none", {"expires_at": "'2030-00-00 00:00:00'"}),
    Odd("a day that is none", {"send_at": "'2030-01-00 00:00:00'"}),
    Odd("the year 9999", {"send_at": "'9999-12-31 23:59:59'"}, becomes="queued"),
    Odd("a NUL in the text", {"text": f"'{SECRET}\\0'"}, refused=False),
)

SQLITE = (
    *_ANYWHERE,
    Odd("seconds since 1970", {"expires_at": "CAST(strftime('%s', 'now', '+1 day') AS INTEGER)"}),
    Odd("seconds since 1970 as text", {"send_at": "strftime('%s')"}),
    Odd("a day in another order", {"expires_at": "'01/12/2030'"}),
    Odd("a time with a T", {"expires_at": "'2030-12-01T09:30:00Z'"}, becomes="sent"),
    Odd("a day alone", {"expires_at": "'2030-12-01'"}, becomes="sent"),
    Odd("a day that is none", {"send_at": "'2030-02-31 00:00:00'"}),
    Odd("a word for a time", {"due_at": "'ahora'"}, becomes="sent"),
    Odd("bytes for a time", {"expires_at": "x'00ff'"}),
    Odd("a Julian day", {"send_at": "julianday('now')"}),
    Odd("Latin-1 in the text", {"text": f"CAST(x'{(SECRET + ' Espa').encode().hex()}f161' AS TEXT)"}, refused=False),
    Odd("Latin-1 in the phone", {"phone": "CAST(x'f1f1' AS TEXT)"}, refused=False),
    Odd("Latin-1 in the key", {"key": "CAST(x'f1' || hex(randomblob(8)) AS TEXT)"}, refused=False, becomes="sent"),
    Odd("Latin-1 in the callback", {"callback": "CAST(x'68f161' AS TEXT)"}, refused=False, becomes="sent"),
    Odd("bytes for a text", {"text": f"x'{SECRET.encode().hex()}'"}),
    Odd("bytes for a phone", {"phone": "x'35353531343032323131'"}),
    Odd("text for a number", {"attempts": "'many'"}, becomes="sent"),
    Odd("a fraction for a number", {"refusals": "1.5"}, becomes="sent"),
    Odd("a number for a rule", {"rule_id": "x'37'"}, becomes="any"),
    Odd("a NUL in the text", {"text": f"'{SECRET}' || char(0) || 'x'"}, refused=False),
    Odd("a text of a megabyte", {"text": f"replace(hex(zeroblob(75000)), '0', '{SECRET}')"}),
    Odd("a phone of a thousand characters", {"phone": "hex(zeroblob(500))"}),
)

KINDS = {"postgresql": POSTGRESQL, "mariadb": MARIADB, "mysql": MARIADB, "sqlite": SQLITE}


def insert(database: Database, odd: Odd, number: int) -> None:
    """As a program in any language does; raises what the database says."""
    values = {
        "key": f"'odd-{number}'",
        "phone": f"'55514990{number:02}'",
        "text": f"'{SECRET} {number}'",
    } | odd.columns
    names = ", ".join(map(database.engine.dialect.identifier_preparer.quote, values))
    with database.engine.begin() as connection:
        statement = f"INSERT INTO smsclick_messages ({names}) VALUES ({', '.join(values.values())})"  # noqa: S608
        connection.exec_driver_sql(statement.replace("%", "%%") if database.is_sqlite is False else statement)


def drop_constraints(database: Database) -> None:
    """As in a database that was made before there were any, or whose owner did without."""
    with database.engine.begin() as connection:
        if database.is_sqlite:
            for name in constraints.sqlite_triggers():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            return
        ours = constraints.POSTGRESQL if connection.dialect.name == "postgresql" else constraints.MARIADB
        for name in ours:
            connection.exec_driver_sql(f"ALTER TABLE smsclick_messages DROP CONSTRAINT ck_smsclick_messages_{name}")


def add_constraints(database: Database) -> None:
    """Undo `drop_constraints` on a table without odd rows."""
    with database.engine.begin() as connection:
        ours = constraints.POSTGRESQL if connection.dialect.name == "postgresql" else constraints.MARIADB
        for name, condition in ours.items():
            added = f"ALTER TABLE smsclick_messages ADD CONSTRAINT ck_smsclick_messages_{name} CHECK ({condition})"
            connection.exec_driver_sql(added.replace("%", "%%"))


def keys(database: Database) -> set[str]:
    """The names of the CHECK constraints, or on SQLite of the triggers."""
    with database.read() as connection:
        if database.is_sqlite:
            query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            return set(connection.scalars(sa.text(query)))
        return {str(each["name"]) for each in sa.inspect(connection).get_check_constraints("smsclick_messages")}
