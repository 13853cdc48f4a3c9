"""The event loop of a thread: uvloop's where it is installed."""

import asyncio


def fastest() -> asyncio.AbstractEventLoop:
    """Make an event loop of uvloop if it is installed; else the standard one, which costs more CPU for each call."""
    try:
        import uvloop  # noqa: PLC0415 - not needed
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
