"""What a POST of one message to the HTTP API costs: on SQLite and PostgreSQL, with the broker up and down.

A client of its own posts 600 requests a second to a schedule, and then keeps 32 under way. Each message has a key of
its own, and each request ends in a commit. "answer" is from the request's due time to its answer, at the client;
"commit to answer" is from just before the COMMIT is sent until the answer was passed to the socket, in the server. A
run with an error, or with another number of rows than answers, is void.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING

import requests
import sqlalchemy as sa

from bench import harness
from bench.harness import Benchmark, Place, Report, Table, interleaved, median, number, percentile
from smsclick._database.engine import Database
from smsclick.contract import messages
from tests.processes import wait_until
from tests.servers import HOST, free_port
from worker.operator.access import tokens

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

RATE = 600.0
"""Above the 500 that one process must reach."""
AT_ONCE = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One load on one process.

    Attributes:
        per_second: answered requests.
        answers: milliseconds at the client, sorted.
        commits: milliseconds from the COMMIT to the answer, sorted; of all requests, those of the warm-up too.
    """

    per_second: float
    answers: tuple[float, ...]
    commits: tuple[float, ...]

    def __str__(self) -> str:
        answers, commits = (_shares(each) for each in (self.answers, self.commits))
        return (
            f"{number(self.per_second)}/s, answer {' and '.join(answers)}, commit to answer {' and '.join(commits)} ms"
        )


def _shares(milliseconds: Sequence[float]) -> tuple[str, str]:
    return number(percentile(milliseconds, 0.5)), number(percentile(milliseconds, 0.99))


def _run(place: Place, url: str, broker: str, load: Sequence[str], seconds: float) -> Run:
    database = Database(url, threads=1)
    secret = tokens.create(database, "bench", ["send"], actor="bench")
    port = free_port()
    address = f"http://{HOST}:{port}"
    noted = place.directory / f"api-{port}.json"
    env = place.environment(url, broker, SMSCLICK_WEB_BIND=f"{HOST}:{port}", BENCH_TOKEN=secret)
    with place.processes():
        server = place.run("python", "-m", "bench.api_server", str(noted), env=env, name="api")
        wait_until(lambda: _serves(address), what="the API")
        command = ("python", "-m", "bench.api_client", HOST, str(port), "--seconds", str(seconds), *load)
        client = place.run(*command, env=env, name="client")
        if client.wait(seconds + 120):
            raise RuntimeError(client.tail())
        found = json.loads(next(line for line in client.output.splitlines() if line.startswith("{")))
        server.sigterm()
        if server.wait(60):
            raise RuntimeError(server.tail())
    with database.read() as connection:
        rows = connection.scalar(sa.select(sa.func.count()).select_from(messages)) or 0
    database.dispose()
    commits = tuple(sorted(1000 * each for each in json.loads(noted.read_text())))
    if found["errors"]:
        raise RuntimeError(f"errors: {found['errors']}")
    if not rows == len(commits) >= found["requests"]:
        raise RuntimeError(f"{rows} rows for {len(commits)} answers")
    return Run(found["requests"] / found["seconds"], tuple(sorted(found["milliseconds"])), commits)


def _serves(address: str) -> bool:
    try:
        return requests.get(f"{address}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


def measure(place: Place, options: argparse.Namespace) -> Report:
    """Each load on each database, with the broker up and down, each time on an empty database."""
    seconds = 2.0 if options.quick else options.seconds
    down = f"redis://{HOST}:{free_port()}/0"
    brokers = {"Redis": place.broker(), "broker down": down}
    databases = {"SQLite": place.sqlite, "PostgreSQL": place.database}
    loads = {f"{RATE:.0f}/s": ("--rate", str(RATE)), f"{AT_ONCE} at once": ("--at-once", str(AT_ONCE))}

    def run(database: str, broker: str, load: str) -> Run:
        return _run(place, databases[database](), brokers[broker], loads[load], seconds)

    found = interleaved(
        {
            f"{database}, {broker}, {load}": functools.partial(run, database, broker, load)
            for database in databases
            for broker in brokers
            for load in loads
        },
        options.rounds,
    )
    rows = tuple(
        (
            name,
            number(median(each.per_second for each in runs)),
            *(
                number(median(percentile(getattr(each, kind), share) for each in runs))
                for kind in ("commits", "answers")
                for share in (0.5, 0.99)
            ),
        )
        for name, runs in found.items()
    )
    columns = ("database, broker, load", "requests/s", "commit to answer p50", "p99", "answer p50", "p99")
    return Report(
        name="api_post",
        tables=(Table(f"POST of one message, one process, ms; medians of {options.rounds} rounds", columns, rows),),
        samples={
            name: [
                {"per_second": each.per_second, "answer": _kept(each.answers), "commit to answer": _kept(each.commits)}
                for each in runs
            ]
            for name, runs in found.items()
        },
    )


def _kept(milliseconds: Sequence[float]) -> dict[str, float]:
    return {f"p{share:g}": percentile(milliseconds, share / 100) for share in (50, 90, 99, 99.9, 100)}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")


BENCHMARK = Benchmark("api_post", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
