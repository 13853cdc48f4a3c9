"""docs/architecture.md: its layers are those that lint checks, its writers of tables those that the code has."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict

import sqlalchemy as sa

from smsclick import contract
from tests.processes import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WRITES = {"insert", "update", "delete", "update_and_insert"}


def table_names() -> dict[str, str]:
    """The tables by the names that `smsclick.contract` gives them."""
    return {name: table.name for name, table in vars(contract).items() if isinstance(table, sa.Table)}


def writers() -> dict[str, set[str]]:
    """The modules that insert into, update or delete from each table."""
    found = defaultdict[str, set[str]](set)
    names = table_names()
    for path in (path for folder in ("worker", "smsclick") for path in (ROOT / folder).rglob("*.py")):
        module = str(path.relative_to(ROOT))
        if module.startswith("smsclick/testing/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in WRITES:
                for argument in node.args[:2]:
                    name = ast.unparse(argument).rpartition(".")[2]
                    if name in names:
                        found[names[name]].add(module)
    return found


def documented() -> dict[str, set[str]]:
    """What the page says; the lines of `smsclick_messages` are by column, and so put together."""
    found = {
        table: set(re.findall(r"`([\w/]+\.py)`", modules))
        for table, modules in re.findall(r"^\| `(smsclick_\w+)` \| (.*) \|$", PAGE, re.MULTILINE)
    }
    columns = PAGE.partition("| columns of `smsclick_messages` |")[2].partition("\n## ")[0]
    found["smsclick_messages"] = set(re.findall(r"`([\w/]+\.py)`", columns))
    return found


def test_the_page_names_every_table_and_every_module_that_writes_it() -> None:
    assert documented() == writers()


def test_the_page_names_every_column_of_a_message() -> None:
    columns = PAGE.partition("| columns of `smsclick_messages` |")[2].partition("\n## ")[0]
    assert {column.name for column in contract.messages.c} - set(re.findall(r"`(\w+)`", columns)) == {"id"}


def test_the_page_has_the_layers_that_lint_checks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [each["layers"] for each in contracts if each.get("containers") == ["worker"]]
    rows = re.findall(r"^\| \d+ \| (.+?) \|", PAGE, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == [set(re.split(r" [|:] ", layer)) for layer in layers]
