"""The supervised thread, which the workers and the producers' background publisher run in.

Owns no table. Entry points: `supervised.SupervisedThread` and `supervised.periodic`. Imports nothing of `smsclick`.

Invariant: no exception ends a thread for good; each failure is logged, without the error's text.
"""
