"""What the wake-up adds to a commit: with no broker, a healthy one, one that is down, and one that never answers."""

from __future__ import annotations

import functools
import json
import socket
from typing import TYPE_CHECKING

from bench import harness
from bench.harness import Benchmark, Chart, Place, Report, Table, interleaved, median, number, percentile, ratio
from tests.servers import HOST, free_port

if TYPE_CHECKING:
    import argparse

_WITHOUT = "no broker"


def _run(place: Place, url: str, broker: str, count: int) -> dict[str, float]:
    command = ("python", "-m", "bench.enqueueing", "one", str(count))
    with place.processes():
        process = place.run(*command, env=place.environment(url, broker), name="commits")
        if process.wait(900):
            raise RuntimeError(process.tail())
        line = next(line for line in process.output.splitlines() if line.startswith("{"))
    commits = [1000 * each for each in json.loads(line)["commits"]]
    return {"p50": percentile(commits, 0.5), "p99": percentile(commits, 0.99), "most": max(commits)}


def measure(place: Place, options: argparse.Namespace) -> Report:
    """The same commits again and again, each time on an empty database, and with each broker in turn."""
    count = 300 if options.quick else options.count
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        brokers = {
            _WITHOUT: "",
            "Redis": place.broker(),
            "RabbitMQ": place.broker("rabbitmq"),
            "Redis, down": f"redis://{HOST}:{free_port()}/0",
            "RabbitMQ, down": f"amqp://guest:guest@{HOST}:{free_port()}//",
            "Redis, silent": f"redis://{HOST}:{port}/0",
            "RabbitMQ, silent": f"amqp://guest:guest@{HOST}:{port}//",
        }

        def run(broker: str) -> dict[str, float]:
            return _run(place, place.database(), broker, count)

        found = interleaved({name: functools.partial(run, url) for name, url in brokers.items()}, options.rounds)
    p99 = {name: [each["p99"] for each in results] for name, results in found.items()}
    rows = tuple(
        (
            name,
            number(median(each["p50"] for each in results)),
            number(median(p99[name])),
            number(ratio(p99[name], p99[_WITHOUT])),
            number(max(each["most"] for each in results)),
        )
        for name, results in found.items()
    )
    return Report(
        name="commit",
        tables=(
            Table(f"Commits after enqueue, ms ({count:,} a round)", ("broker", "p50", "p99", "times", "most"), rows),
        ),
        charts=(Chart("Commit after enqueue", "bars", "p99, ms", "", p99),),
        samples=found,
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=3000, help="commits of each variant and round")


BENCHMARK = Benchmark("enqueue_commit", measure, _options)

if __name__ == "__main__":
    harness.main(BENCHMARK)
