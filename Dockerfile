FROM python:3.13-slim-bookworm

# The checkout is the program: worker, models and migrations are found beside smsclick, as in development.
ENV PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /app

COPY requirements-worker.lock ./
RUN pip install --require-hashes -r requirements-worker.lock

COPY pyproject.toml README.md LICENSE alembic.ini celeryconfig.py ./
COPY smsclick ./smsclick
COPY models ./models
COPY worker ./worker
COPY web ./web
COPY migrations ./migrations
RUN pip install --no-deps --no-build-isolation --editable . \
    && useradd --system --uid 10001 --no-create-home --home-dir /tmp smsclick

USER 10001

# Celery's warm stop: calls in flight are awaited and recorded.
STOPSIGNAL SIGTERM
CMD ["celery", "-A", "worker", "worker", "--loglevel", "INFO"]
