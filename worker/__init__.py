"""The worker: `celery -A worker worker`, `celery -A worker beat`. One module for each step of a message's life."""

from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401 - of a module
    """The Celery app, made when Celery asks for it.

    An operator's command must start without it: `smsclick doctor` is for the day when the settings are wrong, and
    making the app refuses those. Celery asks for `app`, and for `celery` where `app` is our submodule already.
    """
    if name in {"app", "celery"}:
        from worker.app import app  # noqa: PLC0415 - see above

        return app
    raise AttributeError(f"module 'worker' has no attribute {name!r}")
