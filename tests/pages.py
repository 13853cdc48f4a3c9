"""Follows a page of the docs as a reader would: code becomes files, commands run, and what is printed is compared.

A block whose first line is a comment with a path is that file (`# shop/settings.py`; `…, at the end` adds to it), as is
one after a line that ends with the path in backticks and a colon. `sh` runs, `sh server` runs on beside what follows,
and `text` is what the commands before it print, where `…` stands for anything. Other blocks are an error.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.environments import built, environment, fetch, link, pip, required
from tests.processes import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pytest

    from tests.conftest import StartProcess
    from tests.processes import Process

_BLOCK = re.compile(r"^(?P<heading>#+ [^\n]*)$|^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:#|//|<\?php //|--) (?P<path>[\w./-]+\.\w+)(?P<end>, at the end)?\n")
_FILE_BEFORE = re.compile(r"`(?P<path>[\w./-]+\.\w+)`:\s*\Z")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and what else stands there, its text, and the line before it."""

    kind: str
    text: str
    before: str


def sections(page: str) -> dict[str, list[Block]]:
    """The blocks of a page by the heading that they stand under."""
    content = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found: dict[str, list[Block]] = {}
    heading, end = "", 0
    for match in _BLOCK.finditer(content):
        if match["heading"]:
            heading = match["heading"].strip("# ").strip()
            found[heading] = []
        else:
            found[heading].append(Block(match["kind"].strip(), match["text"], content[end : match.start()]))
        end = match.end()
    return found


class Installations:
    """Virtual environments with our wheel and what `pip install` names on a page, each made once."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._wheel: Path | None = None
        self._made: dict[frozenset[str], Path] = {}
        self._older: dict[tuple[str, ...], Path] = {}

    def of(self, requirements: frozenset[str]) -> Path:
        """The folder of an environment's programs; what the tests run with is linked, other versions are fetched."""
        if requirements not in self._made:
            if self._wheel is None:
                self._wheel = built(self._factory.mktemp("wheel"))
            found, older = set[str](), list[str]()
            for each in map(Requirement, sorted(requirements)):
                if each.specifier:
                    older.append(str(each))
                else:
                    found |= set(required(each.name, frozenset(each.extras)))
            folder = self._factory.mktemp("reader")
            python = environment(folder, ())
            (site_packages,) = folder.glob("lib/python*/site-packages")
            for path in self._fetched(older).iterdir() if older else ():
                (site_packages / path.name).symlink_to(path)
            there = {canonicalize_name(each.name or "") for each in metadata.distributions(path=[str(site_packages)])}
            for distribution in sorted(found - {"smsclick"} - there):
                link(distribution, site_packages)
            for script in _PROGRAMS:
                _program(python, script, found | there)
            if "smsclick" in found:
                pip("install", str(self._wheel), python=("--python", str(python)))
            self._made[requirements] = python.parent
        return self._made[requirements]

    def _fetched(self, older: list[str]) -> Path:
        """Where the packages of other versions are, with all that they require."""
        if tuple(older) not in self._older:
            folder = self._factory.mktemp("older")
            fetch(environment(folder, ()), older)
            (self._older[tuple(older)],) = folder.glob("lib/python*/site-packages")
        return self._older[tuple(older)]


_PROGRAMS = {  # name: distribution, module, function
    "django-admin": ("django", "django.core.management", "execute_from_command_line"),
    "flask": ("flask", "flask.cli", "main"),
    "uvicorn": ("uvicorn", "uvicorn", "main"),
    "celery": ("celery", "celery.__main__", "main"),
    "pytest": ("pytest", "pytest", "main"),
}


def _program(python: Path, name: str, distributions: set[str]) -> None:
    """What pip would write; linked distributions have no programs."""
    distribution, module, function = _PROGRAMS[name]
    if distribution in distributions:
        script = python.with_name(name)
        script.write_text(f"#!{python}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        script.chmod(0o755)


def checkout(folder: Path) -> Path:
    """What a reader has as ../smsclick: this tree, with `.venv` where the tests' one may have another name."""
    folder.mkdir()
    for each in ROOT.iterdir():
        if each.name not in {".venv", ".git", "var"}:
            (folder / each.name).symlink_to(each)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@dataclass
class Reader:
    """Follows pages in a folder of its own.

    Args:
        folder: the project; it is made, with a checkout of smsclick beside it.
        installations: for `pip install`.
        start: starts the servers of `sh server`.
        instead: what the reader writes in place of the page's examples, by these: addresses above all. Each must occur.
        env: of the commands.
    """

    folder: Path
    installations: Installations
    start: StartProcess
    instead: Mapping[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    server: Process | None = None
    _asked: set[str] = field(default_factory=set)
    _unused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        checkout(self.folder.parent / "smsclick")
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self.env = {**kept, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **self.env}
        self._unused = set(self.instead)

    def follow(self, page: str, *headings: str) -> None:
        """Does what the sections say, in this order; all of the page's if none is named."""
        there = sections(page)
        for heading in headings or there:
            for block in there[heading]:
                self._do(block)

    def done(self) -> None:
        """Raises where a page does not have what was to be replaced: then something else was followed."""
        assert not self._unused, f"not on the page: {self._unused}"

    def run(self, command: str) -> str:
        """Commands of the shell, to their end; what they print."""
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}"
        return ended.stdout

    def _do(self, block: Block) -> None:
        text = self._replaced(block.text)
        file = _FILE.match(text) or _FILE_BEFORE.search(block.before)
        if block.kind == "sh":
            commands = list(self._for_the_shell(text))
            self.printed = self.run("\n".join(commands)) if commands else ""
        elif block.kind == "sh server":
            self._serve(text.strip())
        elif block.kind == "text":
            wanted = ".*".join(re.escape(part) for part in text.strip().split("…"))
            assert re.search(wanted, self.printed, re.DOTALL), f"{text}\nis not in\n{self.printed}"
        elif file is not None:
            path = self.folder / file["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if file.groupdict().get("end") else "w", encoding="utf-8") as output:
                output.write(text)
        else:
            raise AssertionError(f"a block of {block.kind!r} that is neither a file nor a command:\n{block.text}")

    def _replaced(self, text: str) -> str:
        for example, own in self.instead.items():
            if example in text:
                self._unused.discard(example)
                text = text.replace(example, own)
        return text

    def _for_the_shell(self, text: str) -> Iterator[str]:
        """All lines but those that are done here: `pip install`, and `export`, which holds for the blocks to come."""
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("pip install "):
                self._asked |= set(shlex.split(line, comments=True)[2:])
                self.env["VIRTUAL_ENV"] = str(self.installations.of(frozenset(self._asked)).parent)
                path = self.env["PATH"].split(os.pathsep)
                mine = f"{self.env['VIRTUAL_ENV']}/bin"
                self.env["PATH"] = os.pathsep.join([mine, *(each for each in path if "/reader" not in each)])
            elif line.startswith("export "):
                name, _, value = shlex.split(line, comments=True)[1].partition("=")
                self.env[name] = value.replace(f"${name}", self.env.get(name, ""))
            else:
                yield line

    def _serve(self, command: str) -> None:
        words = shlex.split(command)
        self.server = server = self.start(["bash", "-c", f"exec {command}"], self.env, cwd=self.folder, name=words[0])
        if "--port" not in words:
            server.wait_for_line(r"\bready\.", 120)
            return
        port = int(words[words.index("--port") + 1])

        def listens() -> bool:
            assert server.running, server.tail()
            with closing(socket.socket()) as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, 120, what=command)
