"""The worker: `celery -A worker worker`, `celery -A worker beat`. Each room is named after what a message goes through.

Imports go down this list only, and rooms of one line know nothing of each other (`make lint` checks it):

    operator, tasks           the operator's commands; Celery's tasks, each a thin call
    embedded                  `smsclick up`: worker, beat and broker in one process
    background_process        the program of a worker's background process
    app                       the Celery app, and what a process does when it starts and stops
    background                runs the ticks beside sending, in a child process
    runtime                   builds what a process holds: the only place that knows all the parts
    monitoring                whether this process and the whole system make progress
    broker, maintenance       Celery's side of the broker; the sweep, the balance watch, retention
    sending                   claim, call, record
    tracking                  follow sent messages until they are final, by report and by getMsg
    reconciliation            find out what became of attempts of unknown outcome
    restore                   after a restored backup: what could have been sent since
    callbacks                 notify producers of what became of their messages
    intake                    calls of smsclick.enqueue by name, and broker messages that are none
    context                   what a step may use of its process
    post_commit_notifier      who is woken up after a commit
    wakeups, database_clock   the interface of wake-ups; whether the database's clock runs steadily
    account                   the account's holds, canary, rate limit, balance
    queue                     who is next; claims, expired leases, odd rows, opt-outs
    alerting                  incidents, and how alerts are delivered
    reports                   which reports to ask for, and which row belongs to which attempt
    lifecycle                 the state machine: the only code that writes a state
    metrics                   what the processes count for Prometheus
    sql, threads              SQL and threads that all rooms use
    compat                    one file for each fault of a library that is worked around

Each room's own docstring says which tables it writes and what always holds. docs/architecture.md shows the way of a
message through the rooms.
"""

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
