"""The background process: one child of each worker process, which runs all ticks, so that none holds up a call.

Reading a report or sweeping keeps Python's interpreter lock for tens of milliseconds; in a process of its own that
delays no message. The worker passes ticks to its child over a pipe, and the child passes back whom to wake up.

Owns no table. Entry points: `process.BackgroundProcess` (the worker's side; `worker.app` holds it), `runner.Runner`
(the threads that run ticks; in the child, and in the worker itself where there is no child) and `ticks.run`. The
child's program is `worker.background_process`. May import everything below `worker.app`; never Celery.

Invariant: ticks are always run by somebody. A child that dies or hangs is started again; while there is none, the
worker runs the ticks itself. Each process also looks for work by itself, so that beat and the broker only make it
sooner. A child never survives its worker, and stopping one leaves nothing behind but leases.

Decision: docs/decisions/0058-following-beside-sending.md.
"""
