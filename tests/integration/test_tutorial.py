"""The tutorial, in each language, followed word for word in a fresh copy of this tree; and short pages of commands.

`make setup` finds what it would install: it takes nothing from an index here. Two readings differ from a person's: what
is printed is looked for until it is there, and a page's ports and files are ones that are free.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.environments import NOT_IN_GIT, set_up
from tests.pages import Block, Installations, Reader, sections
from tests.processes import ROOT, wait_until
from tests.servers import free_port

if TYPE_CHECKING:
    from tests.conftest import StartProcess

READY = {
    "smsclick up --simulate": r"^smsclick is up",
    "smsclick simulate": r"^SMSClick is simulated",
    "smsclick metrics": "127.0.0.1",
}


class CloneReader(Reader):
    """Follows a page in a copy of the repository, whose programs it has."""

    last = ""

    def __post_init__(self) -> None:
        shutil.copytree(ROOT, self.folder, ignore=NOT_IN_GIT)
        set_up(self.folder)
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder.parent), "PYTHONUNBUFFERED": "1"}
        self._unused = set(self.instead)

    def _do(self, block: Block) -> None:
        if block.kind == "text":
            wanted = block.text.strip().strip("…")
            wait_until(lambda: wanted in self.run(self.last), 120, what=f"{wanted!r} from {self.last!r}")
            return
        super()._do(block)
        if block.kind == "sh":
            lines = self._replaced(block.text).splitlines()
            self.last = "\n".join(line for line in lines if not line.startswith("export "))

    def _serve(self, command: str) -> None:
        ready = next(line for start, line in READY.items() if command.startswith(start))
        self.server = self.start(["bash", "-c", f"exec {command}"], self.env, cwd=self.folder, name="server")
        self.server.wait_for_line(ready, 120)


@pytest.mark.parametrize("page", ["tutorial.md", "es/tutorial.md"])
def test_the_tutorial_leads_from_nothing_to_an_own_message(
    page: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, start_process: StartProcess
) -> None:
    clone = tmp_path / "smsclick"
    reader = CloneReader(clone, Installations(tmp_path_factory), start_process, {"$PWD": str(clone)})
    reader.follow(page)
    reader.done()
    assert "order-2:shipped" in reader.run("smsclick export")


def test_both_tutorials_have_the_same_blocks() -> None:
    def blocks(page: str) -> list[tuple[str, str]]:
        return [(block.kind, block.text) for found in sections(page).values() for block in found]

    assert blocks("tutorial.md") == blocks("es/tutorial.md")
    assert blocks("tutorial.md")


def commands(page: str, heading: str) -> list[str]:
    """The lines of a section's blocks for the shell."""
    return [line for block in sections(page)[heading] if block.kind == "sh" for line in block.text.splitlines()]


def shell(command: str, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(["bash", "-euc", command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, command) == (0, command), done.stderr
    return done.stdout


def test_the_commands_for_opt_outs(tmp_path: Path, checkout_env: dict[str, str]) -> None:
    (tmp_path / "bajas.csv").write_text("telefono,motivo\n5551402212,pidió baja\n", encoding="utf-8")
    shell("smsclick migrate", tmp_path, checkout_env)
    for command in commands("when.md", "Opt-outs"):
        shell(command, tmp_path, checkout_env)
    assert "5551402212" in (tmp_path / "bajas.csv").read_text(encoding="utf-8")
    listed = shell("smsclick optout list", tmp_path, checkout_env)
    assert "5551402211" not in listed
    assert "5551402212" in listed


def test_the_commands_of_the_page_on_the_simulator(
    tmp_path: Path, checkout_env: dict[str, str], start_process: StartProcess
) -> None:
    simulate, up = (line.partition("  #")[0].strip() for line in commands("simulator.md", "The simulator"))
    port = free_port()
    server = start_process(
        ["bash", "-c", f"exec {simulate} --port {port}"], checkout_env, cwd=tmp_path, name="simulate"
    )
    server.wait_for_line(READY["smsclick simulate"], 60)
    for heading in ("Controlling it", "Habits that the manual does not mention"):
        for command in commands("simulator.md", heading):
            shell(command.replace("curl ", "curl --fail --silent ").replace("8808", str(port)), tmp_path, checkout_env)
    running = start_process(["bash", "-c", f"exec {up}"], checkout_env, cwd=tmp_path, name="up")
    running.wait_for_line(READY["smsclick up --simulate"], 120)


def test_the_commands_of_the_page_on_metrics(
    tmp_path: Path, checkout_env: dict[str, str], start_process: StartProcess
) -> None:
    shell("smsclick migrate", tmp_path, checkout_env)
    port = str(free_port())
    serve, scrape = (line.replace("9808", port) for line in commands("metrics.md", "Metrics"))
    start_process(["bash", "-c", f"exec {serve}"], checkout_env, cwd=tmp_path, name="metrics")
    scraped = f"{scrape} || true"
    wait_until(lambda: "smsclick_up 1.0" in shell(scraped, tmp_path, checkout_env), 60, what="the metrics")


@pytest.fixture
def checkout_env(tmp_path: Path) -> dict[str, str]:
    """The programs of the checkout, and a database in a file."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'sms.db'}",
    }
