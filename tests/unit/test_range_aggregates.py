"""No statement looks for the first or last row of a range by `min` or `max`: only `order_by` and `limit` bound it.

An aggregate over a range says nowhere that it wants one row, so a database may read the whole range. Which statements
run depends on the hour, on where a period ends and on the data: the tests of query plans may miss such a branch, so all
of the code is looked at here.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
GROWING: Final = frozenset({"messages", "events", "callbacks", "incidents", "alerts", "audit"})
"""Tables without a bound, as `smsclick.contract` names them."""


def unbounded(source: str) -> Iterator[str]:
    """Every `min` or `max` of a growing table's column: of any but `id`, and of `id` beside a condition."""
    for statement in ast.walk(ast.parse(source)):
        if not isinstance(statement, ast.stmt) or hasattr(statement, "body"):
            continue
        calls = [each for each in ast.walk(statement) if isinstance(each, ast.Call)]
        has_condition = any(isinstance(each.func, ast.Attribute) and each.func.attr == "where" for each in calls)
        for call in calls:
            if not (isinstance(call.func, ast.Attribute) and call.func.attr in {"min", "max"} and call.args):
                continue
            if not ast.unparse(call.func).endswith(("func.min", "func.max")):
                continue
            table, _, column = ast.unparse(call.args[0]).partition(".c.")
            if table in GROWING and (has_condition or column != "id"):
                yield f"{call.lineno}: {ast.unparse(call)}"


def test_no_aggregate_looks_for_the_end_of_a_range() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{each}"
        for room in ("worker", "smsclick", "web")
        for path in sorted((ROOT / room).rglob("*.py"))
        for each in unbounded(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("query = sa.select(sa.func.max(events.c.id)).where(events.c.id > after, events.c.id < before)", 1),
        ("def f():\n    return connection.scalar(sa.select(sa.func.min(messages.c.sent_at)))", 1),
        ("last = connection.scalar(sa.select(sa.func.max(messages.c.id)))", 0),
        ("last = connection.scalar(sa.select(sa.func.max(chunk.c.id)).where(chunk.c.id > 1))", 0),
        ("with a as b:\n    x = sa.select(func.max(callbacks.c.id)).where(callbacks.c.id < 7)", 1),
    ],
)
def test_what_it_finds(source: str, count: int) -> None:
    assert len(list(unbounded(source))) == count
