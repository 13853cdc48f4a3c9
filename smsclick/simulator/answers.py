"""A request and its answer as values: what came in, what to send, and how to send it."""

from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

Body = bytes | Iterator[bytes]
"""Complete, or in parts that are made while they are sent."""

HTML = "text/html; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
JSON_LINES = "application/x-ndjson; charset=utf-8"


class Request(NamedTuple):
    """One complete request.

    Attributes:
        method: As sent.
        path: Without the query.
        body: Complete.
        keep_alive: Whether the client wants the connection kept.
        chunks: Whether the client understands a chunked answer (HTTP/1.1).
    """

    method: bytes
    path: bytes
    body: bytes
    keep_alive: bool
    chunks: bool


class Manner(Enum):
    """How an answer leaves."""

    WHOLE = auto()
    HANG = auto()
    """No answer; the connection stays open."""
    RESET = auto()
    """No answer; the connection is reset."""
    CUT = auto()
    """The head with the true length and half of the body; then the connection is closed."""
    TRICKLE = auto()
    """The head, then byte by byte over `pace` seconds."""


class Answer(NamedTuple):
    """The answer to one request.

    Attributes:
        outcome: The name in the statistics; empty for the simulator's own pages, which are not counted.
        status: HTTP status.
        body: The body.
        content_type: The type of the body.
        headers: More header lines, each with its line end.
        manner: How it is sent.
        delay: Seconds before anything of it is sent.
        pace: Seconds over which `Manner.TRICKLE` spreads the body.
    """

    outcome: str
    status: int
    body: Body
    content_type: str
    headers: bytes = b""
    manner: Manner = Manner.WHOLE
    delay: float = 0.0
    pace: float = 0.0


def page(status: int, title: str, headers: bytes = b"", outcome: str = "") -> Answer:
    """Return a web server's own HTML page; without an `outcome` the status is its outcome."""
    html = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Answer(outcome or str(status), status, html.encode(), HTML, headers)


def line(status: int, text: str) -> Answer:
    """Return one line for a person who controls the simulator."""
    return Answer("", status, f"{text}\n".encode(), PLAIN)
