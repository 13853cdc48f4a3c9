"""`python -m bench.first_message`: README's six steps from a clone to the first own message in Django, with their time.

Nothing is prepared but Django's project in its own environment, which stands for the reader's: the clone is a real one
of this checkout's last commit, `make` sets it up from the package index, and pip builds what it installs.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from smsclick.settings import Settings
from tests.first_message import URL, Step, steps
from tests.processes import ROOT

WAIT_SECONDS = 600.0


def main() -> int:
    """Follow the steps and print how long each took."""
    with tempfile.TemporaryDirectory(prefix="first-message-") as folder:
        return follow(Path(folder))


def follow(folder: Path) -> int:
    """Follow the steps in a folder of their own."""
    env = environment(folder)
    prepare(folder, env)
    took: list[float] = []
    with contextlib.ExitStack() as stack:
        for step in steps():
            began = time.monotonic()
            if step.file is not None:
                (folder / "shop" / step.file).write_text(step.text)
            elif step.number == 2:
                stack.enter_context(running(step, folder, env))
            else:
                run(step, folder, env)
            took.append(time.monotonic() - began)
            print(f"step {step.number}  {took[-1]:6.1f} s  {step.text.splitlines()[0]}", flush=True)
    print(f"in all  {sum(took):6.1f} s, without the time that a person needs to type")
    return 0


def environment(folder: Path) -> dict[str, str]:
    """A person's environment without settings of ours, in which the project's virtual environment is active."""
    ours = {str(field.validation_alias) for field in Settings.model_fields.values()}
    kept = {name: value for name, value in os.environ.items() if name not in ours and name != "VIRTUAL_ENV"}
    return {**kept, "PATH": f"{folder / 'venv' / 'bin'}:{os.environ['PATH']}"}


def prepare(folder: Path, env: dict[str, str]) -> None:
    """Make the reader's own project."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    subprocess.run(["pip", "install", "--quiet", "django"], env=env, check=True)
    subprocess.run(["django-admin", "startproject", "shop"], cwd=folder, env=env, check=True)


def run(step: Step, folder: Path, env: dict[str, str]) -> None:
    """One command to its end; the last one until it shows a delivered message."""
    text = step.text.replace(f" {URL} ", f" {shlex.quote(str(ROOT))} ")
    # Step 3 changes into the project, as far as the reader's terminal is concerned.
    cwd = folder if step.number <= 3 else folder / "shop"
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        done = subprocess.run(["sh", "-euc", text], cwd=cwd, env=env, check=True, capture_output=True, text=True)
        if step.number < 6 or "delivered" in done.stdout:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"the message was not delivered:\n{done.stdout}")
        time.sleep(0.2)


@contextlib.contextmanager
def running(step: Step, folder: Path, env: dict[str, str]) -> Iterator[None]:
    """The process that stays, once it has printed that it is up."""
    log = folder / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-euc", step.text],
            cwd=folder,
            env={**env, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while b"smsclick is up" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"step {step.number} did not come up:\n{log.read_text()}")
            time.sleep(0.1)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
