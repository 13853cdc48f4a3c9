"""The supervised thread, which the workers and the producers' background publisher run in, and what threads share.

Owns no table. Entry points: `supervised.SupervisedThread`, `supervised.periodic` and `loaded_modules.loaded`. Imports
nothing of `smsclick`.

Invariant: no exception ends a thread for good; each failure is logged, without the error's text.
"""
