"""The limit: nothing but `requests` with kept connections, no database and no queue.

`python -m bench.peers.bare FIRST COUNT THREADS` sends so many messages from that number on; then it waits to be ended,
so that its CPU time can still be read.
"""

import itertools
import signal
import sys
import threading

import requests

from bench.peers import table
from bench.provider import phone, text


def send(first: int, count: int, threads: int) -> None:
    """Send them all, each thread with a session of its own."""
    numbers = itertools.count(first)  # next() of it is atomic

    def work() -> None:
        with requests.Session() as http:
            http.trust_env = False
            http.verify = table.CA_BUNDLE or True
            while (number := next(numbers)) < first + count:
                answer = http.post(table.SEND_URL, data=table.form(phone(number), text(number)), timeout=30)
                if answer.json()["codigo"] != 1:
                    raise SystemExit("refused")

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    send(*(int(argument) for argument in sys.argv[1:4]))
    signal.pause()
