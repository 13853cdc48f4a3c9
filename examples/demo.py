"""What `make run` shows: a file of messages, sent and followed to the end against a simulated SMSClick.

Everything happens on this machine and in a folder of its own below `var/demo`; no message leaves it. The balance runs
out on the way and comes back. At the end the program's records are compared with the simulator's ledger, which knows
what was truly accepted; the exit code is 0 only if every good line of the file reached its final state, exactly once.
"""

import contextlib
import csv
import io
import itertools
import json
import math
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import sqlalchemy as sa
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from smsclick import NewMessage, enqueue
from smsclick.contract import State, accounts, messages
from smsclick.errors import InvalidMessage, SmsclickError
from smsclick.settings import variables
from smsclick.simulator import Fault, FaultKind, LedgerEntry, SimulatorClient

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "examples" / "mensajes.csv"

REJECTED_PHONES = ["6181275534", "8331724490"]
"""The simulator says Rechazado (estatus 4) of these."""

CHARACTERS_PER_CREDIT = 150
"""From the manual: a message costs one credit for each 150 characters begun."""

TOP_UP = 100
HELD_SECONDS = 5.0
"""How long the account has no balance before the demonstration buys credits."""

READY_SECONDS = 120.0
WORK_SECONDS = 180.0
STOP_SECONDS = 20.0
"""A wait that is longer than this means that something is wrong, on the slowest machine too."""

KEPT_SECONDS = 3600
"""How long the folders of earlier runs stay."""

ESTATUS = {State.DELIVERED: 3, State.REJECTED: 4}
STYLES = {
    State.QUEUED: "yellow",
    State.SENDING: "cyan",
    State.UNKNOWN: "magenta",
    State.SENT: "blue",
    State.DELIVERED: "green",
    State.REJECTED: "red",
}
MEANINGS = {
    State.QUEUED: "waits for a worker, or for balance",
    State.SENDING: "on its way to the provider",
    State.UNKNOWN: "no readable answer came",
    State.SENT: "accepted; its status is being checked",
    State.DELIVERED: "Recibido: it is on the phone",
    State.REJECTED: "Rechazado: the carrier refused it",
}


class DemoError(Exception):
    """The demonstration cannot go on; the text says why."""


# --- The processes


class Program:
    """The `smsclick` program as a person would run it, with an environment of its own.

    Its working folder is not the checkout, so that a person's `.env` takes no part.
    """

    def __init__(self, folder: Path, alert_url: str) -> None:
        proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
        kept = {k: v for k, v in os.environ.items() if k not in variables() and k.lower() not in proxies}
        self._command = str(Path(sys.executable).with_name("smsclick"))
        self._folder = folder
        self._up: subprocess.Popen[bytes] | None = None
        self._web: subprocess.Popen[bytes] | None = None
        self.log = folder / "up.log"
        self._env = kept | {
            "DATABASE_URL": f"sqlite:///{folder / 'smsclick.db'}",
            "CELERY_BROKER_URL": "memory://localhost",
            "ALERT_URLS": alert_url,
            "SMSCLICK_LANGUAGE": "en",  # as the rest of what this program prints
            "SMSCLICK_POLL_SECONDS": "1,1,2",
            "SMSCLICK_SWEEP_SECONDS": "1",
            "SMSCLICK_BALANCE_SECONDS": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
        }

    @property
    def database_url(self) -> str:
        """Where the messages of this run are."""
        return self._env["DATABASE_URL"]

    def start(self) -> str:
        """Start `smsclick up --simulate` and return the simulator's address when it is ready."""
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C reaches the demonstration alone, which then ends it in order.
            self._up = subprocess.Popen(  # noqa: S603 - our own program
                [self._command, "up", "--simulate"],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            self.require_alive()
            found = re.search(rb"^smsclick is up and sends to (\S+);", self.log.read_bytes(), re.MULTILINE)
            if found:
                return found[1].decode()
            time.sleep(0.05)
        raise DemoError(f"smsclick up was not ready within {READY_SECONDS:g} s")

    def start_page(self, password: str) -> str:
        """Add a user `demo` with this password, start `smsclick web` and return the page's address."""
        address = f"127.0.0.1:{_free_port()}"
        added = self.run("user", "add", "demo", "--role", "operator", standard_input=password)
        if added.returncode != 0:
            raise DemoError(f"smsclick user add: {added.stderr.strip()}")
        with (self._folder / "web.log").open("wb") as log:
            self._web = subprocess.Popen(  # noqa: S603 - our own program
                [self._command, "web"],
                cwd=self._folder,
                env=self._env | {"SMSCLICK_WEB_BIND": address, "SMSCLICK_LANGUAGE": "es"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self._web.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(address[10:])), 1):
                return f"http://{address}/"
            time.sleep(0.05)
        raise DemoError(f"smsclick web was not ready; see {self._folder / 'web.log'}")

    def require_alive(self) -> None:
        """Raise `DemoError` if `smsclick up` has ended."""
        code = None if self._up is None else self._up.poll()
        if code is not None:
            said = self.log.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2]
            raise DemoError(f"smsclick up ended too early, with exit code {code}: {said}")

    def run(self, *arguments: str, standard_input: str = "") -> subprocess.CompletedProcess[str]:
        """Run another command of the program to its end."""
        try:
            return subprocess.run(  # noqa: S603 - our own program
                [self._command, *arguments],
                cwd=self._folder,
                env=self._env,
                input=standard_input,
                capture_output=True,
                encoding="utf-8",
                timeout=READY_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"smsclick {arguments[0]} did not end within {READY_SECONDS:g} s") from None

    def stop(self) -> int | None:
        """Stop what was started as Ctrl-C does, and kill what does not stop; return the exit code of `smsclick up`."""
        for each in (self._web, self._up):
            if each is None or each.poll() is not None:
                continue
            each.send_signal(signal.SIGTERM)
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    each.wait(STOP_SECONDS)
            finally:  # also at a second Ctrl-C
                if each.poll() is None:
                    each.kill()
                    each.wait()
        return None if self._up is None else self._up.returncode


@dataclass(frozen=True)
class Alert:
    """One alert as it came in over HTTP."""

    title: str
    body: str


class AlertReceiver(ThreadingHTTPServer):
    """Stands in for the operator's mailbox: receives what Apprise posts to `json://`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _TakeAlert)
        self.alerts: list[Alert] = []
        threading.Thread(target=self.serve_forever, name="alerts", daemon=True).start()

    @property
    def url(self) -> str:
        """For `ALERT_URLS`."""
        return f"json://127.0.0.1:{self.server_port}"


class _TakeAlert(BaseHTTPRequestHandler):
    server: AlertReceiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.alerts.append(Alert(str(body["title"]), str(body["message"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Log nothing: the screen belongs to the demonstration."""


# --- What is seen on the way


@dataclass(frozen=True)
class View:
    """The figures at one point in time."""

    states: Counter[State] = field(default_factory=Counter)
    replies: int = 0
    hold_reason: str | None = None
    canary: int | None = None
    credits: int = 0

    @property
    def final(self) -> int:
        """How many messages have reached their end."""
        return self.states[State.DELIVERED] + self.states[State.REJECTED]

    @property
    def sending(self) -> str:
        """Whether messages are sent, in words."""
        if self.hold_reason is None:
            return "goes on"
        return "is held, one message is tried" if self.canary else "is held, no balance"


class Watcher:
    """Reads the tables and the simulator, and changes nothing."""

    def __init__(self, engine: sa.Engine, simulator: SimulatorClient) -> None:
        self._engine = engine
        self._simulator = simulator

    def look(self) -> View:
        """Return the figures of now."""
        with self._engine.connect() as connection:
            states = connection.execute(sa.select(messages.c.state, sa.func.count()).group_by(messages.c.state)).all()
            replies = sa.select(sa.func.count()).where(messages.c.reply.is_not(None))
            account_state = connection.execute(sa.select(accounts.c.hold_reason, accounts.c.canary_id)).one()
            return View(
                states=Counter({State(state): count for state, count in states}),
                replies=connection.execute(replies).scalar_one(),
                hold_reason=account_state.hold_reason,
                canary=account_state.canary_id,
                credits=self._simulator.stats().balance,
            )


class Screen:
    """The output: moving bars on a terminal, a line each second elsewhere."""

    _LINE_SECONDS: ClassVar[float] = 1.0

    def __init__(self, total: int) -> None:
        self._plain = not sys.stdout.isatty()
        self._console = Console(highlight=False, markup=False, emoji=False, width=100 if self._plain else None)
        self._total = total
        self._live: Live | None = None
        self._last = ""
        self._last_at = 0.0
        self._began = time.monotonic()

    @property
    def console(self) -> Console:
        """The console, for output that is not progress."""
        return self._console

    def say(self, text: str = "", style: str = "") -> None:
        """Print one line as it is."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def step(self, title: str) -> None:
        """Print the heading of the next part."""
        self.say()
        self.say(title, "bold")

    def quote(self, text: str) -> None:
        """Print what a program wrote."""
        for line in text.rstrip().splitlines():
            self.say(f"  | {line}", "dim")

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        """Show `update`s until the end of the block."""
        self._began = time.monotonic()
        with contextlib.ExitStack() as stack:
            if not self._plain:
                self._live = stack.enter_context(Live(console=self._console, refresh_per_second=10, transient=True))
            yield
        self._live = None

    def event(self, text: str, style: str = "bold") -> None:
        """Print what happened, with the time; the progress goes on below it."""
        first, *rest = text.splitlines()
        self.say(f"  {time.monotonic() - self._began:5.1f} s  {first}", style)
        for line in rest:
            self.say(f"           {line}", "dim")

    def update(self, view: View) -> None:
        """Show the figures."""
        if self._live is not None:
            self._live.update(self._bars(view))
            return
        counts = ", ".join(f"{view.states[state]} {state}" for state in State if view.states[state])
        line = f"{counts}; {view.credits} credits; sending {view.sending}"
        if line != self._last and time.monotonic() - self._last_at >= self._LINE_SECONDS:
            self._last, self._last_at = line, time.monotonic()
            self.say(f"  {time.monotonic() - self._began:5.1f} s  {line}", "dim")

    def _bars(self, view: View) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right", width=11)
        grid.add_column(width=24)
        grid.add_column(justify="right", width=3)
        grid.add_column(style="dim", no_wrap=True)
        for state in State:
            count, style = view.states[state], STYLES.get(state, "white")
            if state in STYLES and (count or state is not State.UNKNOWN):
                bar = ProgressBar(self._total, count, width=24, complete_style=style, finished_style=style)
                grid.add_row(Text(str(state), style=style), bar, str(count), MEANINGS[state])
        closed = view.hold_reason is not None
        about = Text(f"{view.credits} credits left at the provider; sending ")
        about.append(view.sending, style="bold yellow" if closed else "bold green")
        return Group("", grid, Padding(about, (0, 0, 0, 12)))


def watch(watcher: Watcher, simulator: SimulatorClient, inbox: AlertReceiver, screen: Screen, total: int) -> None:
    """Show the progress, buy credits when they have run out, and return when every message is final."""
    was, heard, canary = View(), 0, None
    buy_at: float | None = None
    deadline = time.monotonic() + WORK_SECONDS
    while time.monotonic() < deadline:
        arrived = inbox.alerts[:]  # before the figures, so that an alert is not shown before its cause
        view = watcher.look()
        if view.hold_reason and not was.hold_reason:
            buy_at = time.monotonic() + HELD_SECONDS
            screen.event("The provider answers -104, Saldo insuficiente: sending is held, no message is lost.")
        if buy_at is not None and time.monotonic() >= buy_at:
            buy_at = None
            simulator.set(add_balance=TOP_UP)
            screen.event(f"We buy {TOP_UP} credits. The worker, which keeps asking for the balance, will see it.")
        if view.canary and canary is None:
            canary = view.canary
            screen.event(f"There is balance: one message is sent first, to test the account (message {canary}).")
        if was.hold_reason and not view.hold_reason:
            screen.event("It was accepted: the hold is lifted, and the others follow.", "bold green")
        for alert in arrived[heard:]:
            screen.event(f"An alert arrives: {alert.title}\n{alert.body}", "bold yellow")
        heard = len(arrived)
        if view.replies > was.replies:
            screen.event("A recipient has answered the interactive message.", "bold")
        screen.update(view)
        was = view
        if view.final == total and view.replies and heard >= 2:
            screen.event(f"All {total} messages are final.", "bold green")
            return
        time.sleep(0.1)
    raise DemoError(
        f"after {WORK_SECONDS:g} s {was.final} of {total} messages are final, {heard} of 2 alerts have come and "
        f"{was.replies} of 1 replies"
    )


# --- Whether it is true


def expected(file: Path) -> dict[str, tuple[str, str]]:
    """Phone and text of each good line by its key, read from the file itself; the first line of a key counts."""
    good: dict[str, tuple[str, str]] = {}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for line in csv.DictReader(stream):
            with contextlib.suppress(InvalidMessage):
                message = NewMessage.from_mapping(line)
                good.setdefault(message.key, (message.phone, message.text))
    return good


def differences(
    good: Mapping[str, tuple[str, str]],
    records: Sequence[Mapping[str, Any]],
    ledger: Sequence[LedgerEntry],
    alerts: Sequence[Alert],
) -> Iterator[str]:
    """Yield one line for each thing that is not as it must be, without phones and texts."""
    accepted = Counter((entry.phone, entry.text) for entry in ledger)
    ours = {str(record["key"]): record for record in records}
    for key, content in good.items():
        if accepted[content] != 1:
            yield f"{key}: the provider accepted it {accepted[content]} times"
        if key not in ours:
            yield f"{key}: there is no message with this key"
    for key in ours.keys() - good.keys():
        yield f"{key}: a message with this key is no good line of the file"
    if len(ledger) != len(good):
        yield f"the provider accepted {len(ledger)} messages, the file has {len(good)} good lines"
    truly = {entry.id_mensaje: entry for entry in ledger}
    for key, record in ours.items():
        what = difference(record, truly.get(record["id_mensaje"]))
        if what:
            yield f"{key}: {what}"
    if {entry.phone for entry in ledger if entry.estatus == ESTATUS[State.REJECTED]} != set(REJECTED_PHONES):
        yield "the rejected phones are not the two that the simulator must reject"
    over = [alert for alert in alerts if "over:" in alert.title]
    if len(over) != 1 or len(alerts) != 2:
        yield f"{len(alerts) - len(over)} alerts at the hold and {len(over)} at its end, instead of one each"


def difference(record: Mapping[str, Any], entry: LedgerEntry | None) -> str | None:
    """Return how a record differs from the ledger's entry of the same `id_mensaje`; None if it does not."""
    if entry is None:
        return f"its id_mensaje {record['id_mensaje']} is not in the ledger"
    if (record["phone"], record["text"]) != (entry.phone, entry.text):
        return "phone or text differ from the ledger's"
    if ESTATUS.get(State(record["state"])) != entry.estatus:
        return f"it is {record['state']} here, estatus {entry.estatus} in the ledger"
    if (record["credits_used"], record["reply"]) != (entry.credits, entry.reply):
        return "credits or reply differ from the ledger's"
    return None


def closing_table(records: Sequence[Mapping[str, Any]], ledger: Sequence[LedgerEntry]) -> Table:
    """Return a table of messages, credits and replies: in our records, and in the provider's ledger."""
    table = Table("", title="In the end", title_justify="left", title_style="bold")
    table.add_column("smsclick", justify="right")
    table.add_column("the provider's ledger", justify="right")
    table.add_column("", style="dim")
    for state in State:
        count = sum(record["state"] == state for record in records)
        if count or state in ESTATUS:
            theirs = str(sum(entry.estatus == ESTATUS[state] for entry in ledger)) if state in ESTATUS else "-"
            table.add_row(Text(str(state), style=STYLES.get(state, "")), str(count), theirs, MEANINGS.get(state, ""))
    table.add_row("messages", str(len(records)), str(len(ledger)), "each good line once")
    used, charged = sum(record["credits_used"] or 0 for record in records), sum(entry.credits for entry in ledger)
    table.add_row("credits", str(used), str(charged), "one for each 150 characters begun")
    replies, given = sum(bool(record["reply"]) for record in records), sum(bool(entry.reply) for entry in ledger)
    table.add_row("replies", str(replies), str(given), "to the interactive one")
    return table


# --- The course of it


def demonstrate(
    program: Program, inbox: AlertReceiver, screen: Screen, good: Mapping[str, tuple[str, str]], *, page: bool
) -> None:
    """Run the demonstration; raise `DemoError` if something is not as it must be.

    Args:
        program: what is shown.
        inbox: where its alerts go.
        screen: where it is shown.
        good: the file's good lines.
        page: whether the page is shown too, and everything goes on until Ctrl-C.
    """
    needed = sum(math.ceil(len(text) / CHARACTERS_PER_CREDIT) for _, text in good.values())
    balance = needed // 2
    screen.step("1. Start everything in one process: worker, scheduler, and SMSClick's simulator")
    screen.say("  $ smsclick up --simulate", "cyan")
    began = time.monotonic()
    address = program.start()
    simulator = SimulatorClient(address)
    simulator.set(balance=balance, delivery_seconds=2, delivery_spread=0.4, reply_seconds=2)
    simulator.set(reject_phones=REJECTED_PHONES, reply_text="SI")
    simulator.faults([Fault(FaultKind.LATENCY, seconds=0.15, jitter=0.25)])
    screen.say(f"  Ready after {time.monotonic() - began:.1f} s; SMSClick is played by {address}.")
    screen.say(f"  Its account has {balance} credits. The file below needs {needed}, so they will run out on the way.")

    if page:
        password = secrets.token_urlsafe(9)
        address_of_page = program.start_page(password)
        screen.say(f"  The page: {address_of_page}  user demo, password {password}", "bold green")

    screen.step("2. Import a file of messages, some lines of which are bad")
    screen.say("  $ smsclick import examples/mensajes.csv", "cyan")
    imported = program.run("import", str(FILE))
    screen.quote(imported.stderr + imported.stdout)

    screen.step("3. Watch them go")
    engine = sa.create_engine(program.database_url)
    try:
        with screen.progress():
            watch(Watcher(engine, simulator), simulator, inbox, screen, len(good))
    finally:
        engine.dispose()

    exported = program.run("export", "--format", "jsonl")
    records = [json.loads(line) for line in exported.stdout.splitlines()]
    ledger = simulator.ledger()
    screen.say()
    screen.console.print(closing_table(records, ledger))
    code = 0 if page else program.stop()
    wrong = list(differences(good, records, ledger, inbox.alerts))
    if code != 0:
        wrong.append(f"smsclick up ended with exit code {code}")
    if wrong:
        raise DemoError("\n".join(wrong))
    screen.say(f"The simulator's ledger agrees: {len(ledger)} messages, each accepted exactly once, same ids and ends.")
    screen.say("One alert when the balance was gone, one when sending went on.")
    screen.say()
    if page:
        screen.say(f"The page goes on: {address_of_page}  user demo, password {password}", "bold green")
        screen.say("A message is sent every few seconds. Ctrl-C ends it.")
        keep_sending(program, simulator)
        return
    say_what_is_next(program, screen, next(iter(good)))


def say_what_is_next(program: Program, screen: Screen, key: str) -> None:
    """Say what a person can try after the demonstration."""
    screen.say("The same with a page in the browser:", "bold")
    screen.say("  make run PAGE=1")
    screen.say("Look around (for an hour):", "bold")
    screen.say(f"  DATABASE_URL={_relative(program.database_url)} .venv/bin/smsclick show {key}")
    screen.say("Your own message:", "bold")
    screen.say("  make up                                                 # and in another terminal:")
    screen.say("  .venv/bin/smsclick enqueue 5551402211 'Hola'            # README.md has the way from your backend")


def keep_sending(program: Program, simulator: SimulatorClient) -> None:
    """Send a message every few seconds until Ctrl-C; raise `DemoError` if `smsclick up` ends."""
    simulator.set(balance=100_000)
    engine = sa.create_engine(program.database_url)
    try:
        for number in itertools.count(1):
            with engine.begin() as connection:
                text = f"Tu pedido {number} va en camino"
                enqueue(connection, phone=f"55514{number % 100_000:05d}", text=text, key=f"pedido-{number}")
            for _ in range(20):
                program.require_alive()
                time.sleep(0.1)
    finally:
        engine.dispose()


def _free_port() -> int:
    """A port of this machine that nobody uses: 8080 if possible."""
    for port in (8080, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as free:
            found: int = free.getsockname()[1]
            return found
    raise DemoError("no port of this machine is free")


def _relative(text: str) -> str:
    return text.replace(f"{ROOT}{os.sep}", "")


def _fresh_folder() -> Path:
    """Make a folder for this run, and remove those of earlier runs."""
    base = ROOT / "var" / "demo"
    base.mkdir(parents=True, exist_ok=True)
    for old in base.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another run removes it too
            if time.time() - old.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(old)
    folder = base / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{os.getpid()}"
    folder.mkdir()
    return folder


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Run the demonstration; return 0 only if everything is as it must be."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    good = expected(FILE)
    folder = _fresh_folder()
    inbox = AlertReceiver()
    program = Program(folder, inbox.url)
    screen = Screen(len(good))
    log = _relative(str(program.log))
    screen.say("smsclick delivers SMS through SMSClick and follows each to its end.", "bold")
    screen.say(f"Here {len(good)} messages go through it in about half a minute. No message leaves this machine:")
    screen.say("SMSClick is simulated, and the phones are invented.")
    screen.say(f"The worker's log: {log}")
    try:
        demonstrate(program, inbox, screen, good, page="--page" in sys.argv[1:])
    except (DemoError, SmsclickError) as error:
        screen.say()
        screen.say(f"The demonstration failed:\n{error}\nThe worker's log says more: {log}", "bold red")
        return 1
    except KeyboardInterrupt:
        screen.say("\nStopped.")
        return 130
    finally:
        program.stop()
        inbox.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
