"""The benchmarks' own senders on real servers: a figure only counts when each message was sent once and recorded."""

from bench import throughput
from bench.harness import Place
from bench.throughput import Plan
from tests.servers import PostgresServer, RedisServer


def test_ours_and_the_usual_worker_send_what_waits_and_are_measured(
    postgres: PostgresServer, redis_server: RedisServer
) -> None:
    for server in (postgres, redis_server):  # another test may have left it frozen or killed
        server.thaw()
        server.start()
    with Place() as place:
        place.servers += [postgres, redis_server]
        ours = throughput.ours(place, Plan(0.0, 120, 1, 4))
        usual = throughput.usual(place, Plan(0.0, 60, 1, 1))
        place.servers.clear()  # the session's: not to be ended here
    assert (ours.count, usual.count) == (120, 60)
    assert min(ours.steady, ours.rate, usual.steady, usual.rate) > 0
    assert min(ours.cpu, usual.cpu) >= 0  # so few may be sent between two looks
