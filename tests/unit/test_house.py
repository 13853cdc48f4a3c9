"""What people expect of a repository is there and true: links, the decisions' index, the workflow, `make help`."""

from __future__ import annotations

import ast
import collections
import importlib.util
import io
import re
import subprocess
import sys
import tokenize
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
MAKEFILE = (ROOT / "Makefile").read_text()
# Task names and logger names look like modules, and so do paths of other programs.
NOT_MODULES = {
    *("smsclick.enqueue", "smsclick.cancel", "smsclick.send", "smsclick.poll", "smsclick.follow", "smsclick.ticks"),
    *("smsclick.callbacks", "smsclick.sweep", "smsclick.db"),
    # Attributes of spans.
    *("smsclick.attempt", "smsclick.cause", "smsclick.codigo", "smsclick.id_mensaje", "smsclick.state"),
}
OURS = (
    "call by name, canary, content fingerprint, control row, dead letter, epoch, hold, idempotency key, incident, "
    "lease, outbox, park, reconcile, SETTLE, sweep, token, wake-up, watermark"
)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def broken(page: Path) -> list[str]:
    """A page's links that lead nowhere in this repository."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if link.startswith(("https://", "http://")):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title\n[this](#a-title) [gone](gone.md) [there](page.md#nowhere) [out](https://example.com)\n")
    assert broken(page) == ["gone.md", "page.md#nowhere"]


def named_modules(text: str) -> set[str]:
    """The files and modules of ours that a page names: `worker/queue/claims.py`, `worker.queue.claims.claim`."""
    folders = "worker|smsclick|models|bench|tests|scripts"
    files = set(re.findall(rf"(?<![\w/.-])((?:{folders})/(?:[\w/]*\.py\b|(?:\w+/)*(?![\w.])))", text))
    dotted = set(re.findall(r"`((?:worker|smsclick)(?:\.\w+)+)[^`]*`", text))
    return {name.rstrip("/") for name in files} | dotted


def is_there(name: str) -> bool:
    """Whether a file or folder has this name, or a module, or a module has what its last part names."""
    if "/" in name:
        path = ROOT / name
        return path.exists() or path.with_suffix(".py").exists()
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
            return len(parts) == length or re.search(rf"\b{parts[length]}\b", source.read_text()) is not None
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_that_a_page_names_exist(page: Path) -> None:
    names = named_modules(page.read_text(encoding="utf-8")) - NOT_MODULES
    assert {name for name in names if not is_there(name)} == set()


def test_a_module_that_is_gone_is_found() -> None:
    text = (
        "`worker/gone.py`, `worker.queue.gone`, `worker.queue.claims`, tests/unit/test_house.py, bench/ `smsclick.send`"
    )
    assert {name for name in named_modules(text) if not is_there(name)} == {
        "worker/gone.py",
        "worker.queue.gone",
        "smsclick.send",
    }


def prose(source: str) -> str:
    """The comments and docstrings of a module."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    owners = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return "\n".join([*comments, *filter(None, map(ast.get_docstring, owners))])


def missing_tests(text: str) -> set[str]:
    """The files of tests that a text names, and that are not there."""
    files = {path.name for path in TESTS} | {path.relative_to(ROOT).as_posix() for path in TESTS}
    return set(re.findall(r"(?:tests/(?:\w+/)*)?\btest_\w+\.py\b", text)) - files


def test_files_of_tests_that_a_comment_or_a_docstring_names_exist() -> None:
    folders = ("smsclick", "worker", "web", "models", "migrations", "bench", "scripts", "tests", "examples")
    sources = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(sources) > len(TESTS) > 0
    found = {path.relative_to(ROOT).as_posix(): missing_tests(prose(path.read_text("utf-8"))) for path in sources}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_file_of_tests_that_is_gone_is_found() -> None:
    source = """
# See tests/unit/test_gone.py, test_house.py and tests/unit/test_house.py.
class It:
    '''Tested by tests/integration/test_house.py.'''
    name = "test_of_another_program.py"
"""
    assert missing_tests(prose(source)) == {"tests/unit/test_gone.py", "tests/integration/test_house.py"}


def test_the_index_of_decisions_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("decisions", ROOT / "scripts" / "decisions.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.INDEX.read_text(encoding="utf-8") == script.index(), "run: .venv/bin/python scripts/decisions.py"


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_githubs_files_follow_its_schemas(schema: str, files: str) -> None:
    found = [str(path) for path in ROOT.glob(files)]
    assert found
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *found],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_runs_what_a_developer_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert commands == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_the_hooks_before_a_commit_use_tools_of_the_virtual_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        program, option, module, *_ = hook["entry"].split()
        assert (program, option) == (".venv/bin/python", "-m")
        assert importlib.util.find_spec(module) is not None
        assert f"-m {module}" in MAKEFILE, "make lint has the same"


def test_make_help_lists_every_target_within_eighty_columns() -> None:
    [phony] = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    # Within `make test` this is a make of a make, which says which folder it works in.
    command = ["make", "--no-print-directory", "help"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {line.split()[1] for line in listed} == set(phony.split())
    assert [line for line in listed if len(line) > 80] == []


def test_the_package_says_whose_it_is_and_under_which_license() -> None:
    about = metadata.metadata("smsclick")
    assert about["License-Expression"] == "MIT"
    assert about["License-File"] == "LICENSE"
    assert about["Author"]
    assert "MIT License" in (ROOT / "LICENSE").read_text()


def test_the_glossary_defines_our_own_words() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    defined = {word for cell in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for word in cell.split(", ")}
    assert {word.strip() for word in OURS.split(",")} <= defined


ROOMS = sorted(
    path.parent
    for top in ("worker", "web")
    for path in (ROOT / top).glob("**/__init__.py")
    if path.parent != ROOT / "worker"
)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(ROOT).as_posix())
def test_every_room_says_what_it_owns_and_what_always_holds(room: Path) -> None:
    tree = ast.parse((room / "__init__.py").read_text())
    words = ast.get_docstring(tree) or ""
    assert 5 <= len(words.splitlines()) <= 20, words
    assert "nvariant" in words, "say what always holds"
    assert len(tree.body) == 1, "nothing but its docstring: a room's names are imported from its modules"


def test_no_module_is_longer_than_400_lines_and_no_folder_holds_more_than_20() -> None:
    lines = {
        path: len(path.read_text().splitlines())
        for top in ("worker", "smsclick", "web")
        for path in (ROOT / top).rglob("*.py")
    }
    assert [str(path.relative_to(ROOT)) for path, count in lines.items() if count > 400] == []
    folders = collections.Counter(path.parent for path in lines)
    assert [str(folder.relative_to(ROOT)) for folder, count in folders.items() if count > 20] == []


@pytest.mark.parametrize("command", [["scripts/reference.py", "--check"], ["scripts/translations.py"]])
def test_pages_that_follow_the_code_or_another_page_are_in_step(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
