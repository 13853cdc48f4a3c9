"""Each block of commands on a page is run by a test as it is written, or stands here with the reason why not.

And each command and option that a page names, in any language, exists.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.processes import ROOT
from tests.unit.test_site import script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES: Final = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "ops/**/*.md", "examples/**/*.md", "bench/**/*.md", ".github/**/*.md")
    for page in ROOT.glob(pattern)
)
_BLOCK: Final = re.compile(r"^(#+ [^\n]*)$|^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELLS: Final = {"sh", "bash", "console", "shell"}
_COMMAND: Final = re.compile(
    r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:smsclick|make|pip|python|curl|celery|alembic|docker|kubectl) "
)

FRAMEWORKS: Final = "tests/integration/test_pages.py"
TUTORIAL: Final = "tests/integration/test_tutorial.py"
FIRST: Final = "tests/integration/test_first_message.py"
PRODUCTION: Final = "tests/integration/test_production_commands.py"
RUN: Final = {
    ("README.md", "In production"): PRODUCTION,
    ("README.es.md", "En producción"): PRODUCTION,
    ("docs/api.md", "HTTP API"): PRODUCTION,
    ("docs/page.md", "The page"): PRODUCTION,
    ("docs/producers.md", "In your transaction"): PRODUCTION,
    ("docs/es/producers.md", "En su transacción"): PRODUCTION,
    ("docs/api.md", "Send"): "tests/integration/test_api_process.py",
    ("docs/celery.md", ""): FRAMEWORKS,
    ("docs/django.md", ""): FRAMEWORKS,
    ("docs/excel.md", ""): FRAMEWORKS,
    ("docs/fastapi.md", ""): FRAMEWORKS,
    ("docs/flask.md", ""): FRAMEWORKS,
    ("docs/node.md", ""): FRAMEWORKS,
    ("docs/php.md", ""): FRAMEWORKS,
    ("docs/testing.md", ""): FRAMEWORKS,
    ("docs/metrics.md", ""): TUTORIAL,
    ("docs/simulator.md", ""): TUTORIAL,
    ("docs/when.md", ""): TUTORIAL,
    ("docs/tutorial.md", ""): TUTORIAL,
    ("docs/es/tutorial.md", ""): TUTORIAL,
    ("README.md", "Your first own message, in six steps"): FIRST,
    ("README.es.md", "Su primer mensaje propio, en seis pasos"): FIRST,
}
"""Page and heading (empty: all of the page's): the file of the test that runs the blocks."""

DEMO: Final = "`make run` is tests/integration/test_demo.py; `make test` would run itself"
NOT_RUN: Final = {
    ("README.md", "The two commands"): DEMO,
    ("README.es.md", "Los dos comandos"): DEMO,
    (
        "docs/traces.md",
        "Switch it on",
    ): "pip needs a package index, and the address is a collector's; tests/integration/test_traces.py runs a worker "
    "with the same variable and a collector of its own",
    (
        "docs/deploying.md",
        "With systemd",
    ): "systemctl needs systemd as process 1 and root; tests/unit/test_systemd.py has "
    "systemd-analyze verify the units, and checks their commands",
    (
        "docs/deploying.md",
        "Images by digest",
    ): "needs a container engine and a registry; tests/unit/test_compose.py checks the file",
    ("ops/kubernetes/README.md", "smsclick on Kubernetes"): "needs a container engine, a registry and a cluster; "
    "tests/unit/test_kubernetes.py checks the files",
}
"""Page and heading: why no test runs the blocks."""


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Heading, language and text of each block of a page that holds commands."""
    heading = ""
    for found in _BLOCK.finditer(text):
        if found[1]:
            heading = found[1].strip("# ")
        elif found[2].split(" ")[0] in _SHELLS or (not found[2] and _COMMAND.match(found[3])):
            yield heading, found[2], found[3]


THERE: Final = {
    (str(page.relative_to(ROOT)), heading)
    for page in PAGES
    for heading, _, _ in blocks(page.read_text(encoding="utf-8"))
}


def entries(page: str, heading: str) -> list[tuple[str, str]]:
    """The entries of both tables for a section."""
    return [key for key in ((page, heading), (page, "")) for table in (RUN, NOT_RUN) if key in table]


@pytest.mark.parametrize(("page", "heading"), sorted(THERE))
def test_a_block_of_commands_is_run_or_has_a_reason(page: str, heading: str) -> None:
    assert len(entries(page, heading)) == 1


def test_the_tables_name_what_there_is() -> None:
    named = {key for section in THERE for key in entries(*section)}
    assert named == {*RUN, *NOT_RUN}


@pytest.mark.parametrize(("section", "file"), sorted(RUN.items()))
def test_the_test_that_runs_a_page_names_it(section: tuple[str, str], file: str) -> None:
    source = (ROOT / file).read_text(encoding="utf-8") + (ROOT / "tests" / "first_message.py").read_text(
        encoding="utf-8"
    )
    page, name = section[0], section[0].rpartition("/")[2]
    assert f'"{page.removeprefix("docs/")}"' in source or f'"{name}"' in source


def test_a_block_that_nobody_runs_would_be_found() -> None:
    text = "# A\n\n```sh\nsmsclick stats\n```\n\n## B\n\n```\nsmsclick show 1\n```\n\n```python\npass\n```\n"
    assert [heading for heading, _, _ in blocks(text)] == ["A", "B"]
    assert entries("docs/new.md", "A") == []


reference = script("reference")
COMMANDS: Final = {
    words: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for words, command in reference._commands()
}
_NAMED: Final = re.compile(r"\bsmsclick((?: [a-z][a-z-]*)+)((?: (?:[^\s`|&;#]+|\"[^\"`]*\"))*)")


def unknown(text: str) -> set[str]:
    """The commands and options of `smsclick` that a text names in code and that do not exist."""
    found = set[str]()
    code = [part for span in re.findall(r"```[^\n]*\n(.*?)```|`([^`\n]+)`", text, re.DOTALL) for part in span if part]
    for line in (line for part in code for line in part.splitlines()):
        for words, rest in _NAMED.findall(line.split("  #")[0]):
            names = words.split()
            command = next((each for n in (2, 1) if (each := " ".join(names[:n])) in COMMANDS), None)
            if command is None:
                groups = {each.split()[0] for each in COMMANDS if " " in each}
                if names[0] not in groups and re.match(r"smsclick\b", line.strip()):
                    found.add(names[0])
                continue
            options = re.findall(r"(?<=\s)--[a-z][a-z-]*", rest)
            found |= {f"{command} {option}" for option in options} - {
                f"{command} {option}" for option in {*COMMANDS[command], "--help", "--debug", "--version"}
            }
    return found


# The changelog also names what was.
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    assert unknown(page.read_text(encoding="utf-8")) == set()


def test_a_stale_command_or_option_is_found() -> None:
    assert unknown("Run `smsclick gone` or `smsclick stats --gone`.") == {"gone", "stats --gone"}
    assert unknown("Run `smsclick stats --json` and `smsclick callbacks list --since 1`; smsclick is fine.") == set()
