"""The commands of production as the pages have them, each line of a block by the shell, and in both languages.

Only addresses, the key's file and the mailbox are replaced, which a reader puts in too. What stands before a block's
servers runs to its end; a server runs on.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import subprocess
import sys
import termios
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from smsclick import NewMessage
from smsclick.contract import State
from tests.acceptance import KEY, Cluster, Receiver
from tests.pages import Installations
from tests.processes import ROOT, wait_until
from tests.servers import free_port
from tests.unit.test_documented_commands import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import StartProcess
    from tests.processes import Process

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
PASSWORD = "una contraseña larga"


def lines(page: str, heading: str, instead: Mapping[str, str] | None = None) -> list[str]:
    """The lines of a section's block of commands, with what a reader puts in."""
    path = ROOT / page if page.startswith("README") else ROOT / "docs" / page
    [text] = [text for found, _, text in blocks(path.read_text(encoding="utf-8")) if found == heading]
    for example, own in (instead or {}).items():
        text, count = re.subn(example, lambda _, own=own: shlex.quote(own), text)  # type: ignore[misc]
        assert count == 1, example
    return text.splitlines()


@pytest.mark.parametrize(("page", "heading"), [("README.md", "In production"), ("README.es.md", "En producción")])
def test_the_commands_of_production_lead_to_a_delivered_message(
    postgres_url: str, redis_url: str, start_process: StartProcess, tmp_path: Path, page: str, heading: str
) -> None:
    key_file = tmp_path / "smsclick_api_key"
    key_file.write_text(f"{KEY}\n")
    with Receiver() as receiver, Cluster(start_process, postgres_url, redis_url) as cluster:
        instead = {
            r"postgresql\+psycopg://\S+": postgres_url,
            r"redis://\S+": redis_url,
            "/run/secrets/smsclick_api_key": str(key_file),
            r"mailto://\S+": receiver.url,
        }
        written = lines(page, heading, instead)
        exports = [line for line in written if line.startswith("export ")]
        migrate, worker, beat, doctor = [line for line in written if line not in exports]
        # The provider, and haste; everything else comes from the block.
        names = ("SMSCLICK_BASE_URL", "SMSCLICK_POLL_SECONDS", "SMSCLICK_SWEEP_SECONDS")
        env = {"PATH": PATH, **{name: cluster.env[name] for name in names}}

        def shell(command: str, name: str) -> Process:
            return start_process(["sh", "-euc", "\n".join([*exports, f"exec {command}"])], env, name=name)

        assert shell(migrate, "migrate").wait(120) == 0
        assert cluster.migrated()
        running = [shell(worker, "worker"), shell(beat, "beat")]
        cluster.enqueue([NewMessage.of(phone="5551402211", text="Tu pedido va en camino", key="order-1")])
        cluster.wait_final(1)
        assert cluster.states() == {State.DELIVERED: 1}

        def well() -> bool:
            looked = shell(doctor, "doctor")
            return looked.wait(120) == 0

        wait_until(well, 180, what="a doctor that is content", every=1)
        assert all(each.running for each in running)


def test_the_first_commands_of_the_api_make_a_token_that_it_accepts(
    migrated_sqlite_url: str, start_process: StartProcess
) -> None:
    create, web = lines("api.md", "HTTP API")
    address = f"127.0.0.1:{free_port()}"
    env = {"PATH": PATH, "DATABASE_URL": migrated_sqlite_url, "SMSCLICK_WEB_BIND": address}
    made = subprocess.run(["sh", "-euc", create], env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    token = made.stdout.split()[-1]
    start_process(["sh", "-euc", f"exec {web}"], env, name="web")
    headers = {"Authorization": f"Bearer {token}"}
    body = {"phone": "55 5140 2211", "text": "Tu pedido va en camino", "key": "order-1"}

    def accepts() -> bool:
        try:
            return (
                requests.post(f"http://{address}/v1/messages", json=body, headers=headers, timeout=5).status_code == 202
            )
        except requests.RequestException:
            return False

    wait_until(accepts, 60, what="the API to accept a message")


def at_a_terminal(command: str, env: Mapping[str, str], answers: list[str]) -> str:
    """Run a command at a terminal of its own and type an answer for each colon that it waits at; what it shows."""
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "r+b", buffering=0)) as terminal:
        process = subprocess.Popen(
            ["sh", "-euc", command], env=env, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )  # fmt: skip
        os.close(theirs)
        shown, waiting = "", list(answers)
        while True:
            try:
                part = terminal.read(4096)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            shown += part.decode()
            if waiting and shown.rstrip(" ").endswith(":"):
                terminal.write(f"{waiting.pop(0)}\n".encode())
    assert (process.wait(60), waiting) == (0, []), shown
    return shown


def test_the_first_commands_of_the_page_ask_for_a_password_and_serve_it(
    migrated_sqlite_url: str, start_process: StartProcess
) -> None:
    add, web = lines("page.md", "The page")
    address = f"127.0.0.1:{free_port()}"
    env = {"PATH": PATH, "DATABASE_URL": migrated_sqlite_url, "SMSCLICK_WEB_BIND": address}
    assert PASSWORD not in at_a_terminal(add, env, [PASSWORD, PASSWORD])
    listed = subprocess.run(
        ["sh", "-euc", "smsclick user list"], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert re.search(r"\bana\b.*\boperator\b", listed.stdout)
    start_process(["sh", "-euc", f"exec {web}"], env, name="web")

    def serves() -> bool:
        try:
            return "smsclick" in requests.get(f"http://{address}/", timeout=5).text
        except requests.RequestException:
            return False

    wait_until(serves, 60, what="the page")


@pytest.mark.parametrize(
    ("page", "heading"), [("producers.md", "In your transaction"), ("es/producers.md", "En su transacción")]
)
def test_what_a_producer_installs_has_its_broker_and_database(
    tmp_path_factory: pytest.TempPathFactory, page: str, heading: str
) -> None:
    """As pip would, without an index: our wheel, and what it requires with these extras."""
    [line] = lines(page, heading)
    words = line.partition("#")[0].replace("'", "").split()
    assert words[:2] == ["pip", "install"]
    programs = Installations(tmp_path_factory).of(frozenset(words[2:]))
    imported = "import celery, psycopg, smsclick; print(smsclick.__file__)"
    found = subprocess.run(
        [programs / "python", "-c", imported], cwd=programs, capture_output=True, text=True, check=True
    )
    assert str(programs.parent) in found.stdout
