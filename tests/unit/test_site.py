"""What `make lint` and `make docs-check` find: pages that differ from the code or from their translation, and links."""

from __future__ import annotations

import importlib.util
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def script(name: str) -> Any:  # noqa: ANN401 - a module of scripts/, which is no package
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference, translations, site_check = script("reference"), script("translations"), script("site_check")


def test_the_reference_is_what_the_code_says() -> None:
    assert reference.different() == []


def test_a_page_of_the_reference_that_was_edited_is_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with (tmp_path / "docs" / "reference" / "states.md").open("a") as page:
        page.write("\nBy hand.\n")
    assert reference.different(tmp_path) == ["docs/reference/states.md"]


def test_the_reference_has_every_command_that_the_help_lists() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    headings = {line.split()[2] for line in page.splitlines() if line.startswith("## smsclick ")}
    main = reference.commandline
    assert headings >= main.OPERATORS | main.PROVIDERS | main.WEB | {"enqueue", "import", "simulate"}


def test_both_languages_are_in_step() -> None:
    assert translations.problems() == []


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The pages in both languages, in a folder of their own."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("README.md", "README.es.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("page", sorted(translations.PAGES))
@pytest.mark.parametrize("side", ["en", "es"])
def test_a_section_that_changed_in_one_language_alone_is_named(page: str, side: str, copied: Path) -> None:
    changed = translations.PAGES[page] if side == "en" else page
    path = copied / changed
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("## "))
    heading = next(
        line.strip("# ")
        for line in (copied / translations.PAGES[page]).read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    )
    lines.insert(at + 1, "One more sentence.")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert translations.problems(copied) == [f"{changed}: the section “{heading}” changed alone ({page})"]
    translations.update([page], copied)
    assert translations.problems(copied) == []


def test_a_section_that_one_language_lacks_is_found(copied: Path) -> None:
    with (copied / "docs" / "tutorial.md").open("a", encoding="utf-8") as page:
        page.write("\n## More\n\nText.\n")
    (line,) = translations.problems(copied)
    assert re.match(r"docs/es/tutorial.md has \d+ sections, docs/tutorial.md has \d+", line)


def test_a_spanish_page_that_nobody_compares_is_found(copied: Path) -> None:
    (copied / "docs" / "es" / "new.md").write_text("# Nueva\n")
    assert translations.problems(copied) == ["docs/es/new.md: not in PAGES of scripts/translations.py"]


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<script src="https://cdn.example.com/a.js"></script>', "loads https://cdn.example.com/a.js"),
        ('<img src="//cdn.example.com/a.png">', "loads //cdn.example.com/a.png"),
        ('<link rel="stylesheet" href="https://fonts.example.com/css">', "loads https://fonts.example.com/css"),
        ('<p style="background: url(https://example.com/a.png)">', "loads https://example.com/a.png"),
        ("<p>```sh server", "a block of code is shown as text; its first line has more than a language"),
        ('<a href="gone.html">x</a>', "gone.html leads nowhere"),
        ('<a href="#gone">x</a>', "#gone leads nowhere"),
        ('<a href="https://example.com/">x</a> <a href="#here" id="here">x</a> <a href="page.html#here">x</a>', None),
    ],
)
def test_what_a_built_page_loads_and_links_to_is_checked(html: str, problem: str | None, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<!doctype html>{html}")
    assert site_check.problems(tmp_path) == ([f"page.html: {problem}"] if problem else [])


def test_a_style_sheet_that_loads_from_another_host_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<!doctype html>")
    (tmp_path / "a.css").write_text('@import "https://fonts.example.com/a.css"; p { background: url(a.png) }')
    assert site_check.problems(tmp_path) == ["a.css: loads https://fonts.example.com/a.css"]


def test_a_site_without_pages_is_no_site(tmp_path: Path) -> None:
    assert site_check.problems(tmp_path) == [f"{tmp_path}: no page"]
