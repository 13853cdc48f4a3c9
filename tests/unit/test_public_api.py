"""The public surface is what `docs/public-api.md` lists, and what each public module's `__all__` names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.processes import ROOT

PAGE = ROOT / "docs" / "public-api.md"
INTERNAL_USES = {
    "smsclick.settings": {
        "BindAddress",
        "certificates",
        "parse_broker",
        "Broker",
        "broker_urls",
        "parse_callback",
        "parse_url",
        "QuietHours",
        "TaskTarget",
        "setting_urls",
        "urls",
        "FILE",
        "FromFile",
        "Layer",
        "Problem",
        "environment_file",
    },
    "smsclick.django": {"publisher"},
    "smsclick.errors": {"Refusal", "RefusalCode"},
    "smsclick.provider.account_client": {"is_loopback", "place"},
}
"""What a public module imports from underscore packages for itself: it is not offered to others."""


def listed() -> dict[str, list[str]]:
    """The names on the page, by module."""
    sections = re.split(r"^## `([\w.]+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        module: re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
        for module, text in zip(sections[::2], sections[1::2], strict=True)
    }


MODULES = sorted(listed())


def tree_of(module: str) -> ast.Module:
    """The module as it is written: Django's need a project to be imported."""
    path = ROOT / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def exported(tree: ast.Module) -> list[str]:
    [names] = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    ]
    found: list[str] = ast.literal_eval(names)
    return found


def imported_from_underscore_packages(tree: ast.Module) -> set[str]:
    return {
        name.asname or name.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("smsclick._")
        for name in node.names
    }


def used_but_not_public(source: str) -> list[str]:
    """What a piece of Python imports of smsclick beyond the public names."""
    public = listed()
    # Only these statements: the rest of a page's code may have an ellipsis in it.
    imports = "\n".join(re.findall(r"^ *((?:from|import) smsclick\b[^\n(]*(?:\([^)]*\))?)", source, re.MULTILINE))
    found = []
    for node in ast.walk(ast.parse(imports)):
        modules = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        found += [each for each in modules if each.split(".")[0] == "smsclick" and each not in public]
        if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != "smsclick":
            continue
        module = str(node.module)
        for name in node.names:
            full = f"{module}.{name.name}"
            if name.name not in public.get(module, ()) and full not in public:
                found.append(full)
    return found


def producers_code() -> list[tuple[str, str]]:
    """The Python of pages and examples, by name."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [
        (f"{page.name}-{number}", block)
        for page in pages
        for number, block in enumerate(
            re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        )
    ]
    examples = sorted((ROOT / "examples").rglob("*.py"))
    return blocks + [(str(each.relative_to(ROOT)), each.read_text(encoding="utf-8")) for each in examples]


@pytest.mark.parametrize("module", MODULES)
def test_the_page_lists_what_a_public_module_exports(module: str) -> None:
    names = listed()[module]
    assert len(names) == len(set(names))
    assert set(names) == set(exported(tree_of(module)))


def test_every_module_without_an_underscore_that_exports_names_is_on_the_page() -> None:
    exporting = set()
    for path in (ROOT / "smsclick").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if "._" not in module and re.search(r"^__all__\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            exporting.add(module)
    assert exporting == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_public_module_takes_from_underscore_packages_only_what_it_lists(module: str) -> None:
    imported = imported_from_underscore_packages(tree_of(module))
    assert imported - set(listed()[module]) == INTERNAL_USES.get(module, set())


@pytest.mark.parametrize(("name", "code"), producers_code(), ids=[name for name, _ in producers_code()])
def test_pages_and_examples_use_only_public_names(name: str, code: str) -> None:
    del name
    assert used_but_not_public(code) == []


def test_examples_import_nothing_of_the_delivery_service() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "examples").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r" *(?:from|import) (?:worker|web|models|migrations|tests|scripts)\b", line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from smsclick import enqueue", []),
        ("from smsclick import contract, simulator", []),
        ("from smsclick.errors import SmsclickError", []),
        ("from smsclick._values.phones import normalize_phone", ["smsclick._values.phones.normalize_phone"]),
        ("from smsclick.settings import Broker", ["smsclick.settings.Broker"]),
        ("import smsclick._database.engine", ["smsclick._database.engine"]),
    ],
)
def test_a_private_name_is_found(code: str, found: list[str]) -> None:
    assert used_but_not_public(code) == found
