"""The worker: `celery -A worker worker`, `celery -A worker beat`. One module for each step of a message's life."""

from worker.app import app

__all__ = ["app"]
