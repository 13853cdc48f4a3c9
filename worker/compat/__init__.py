"""Workarounds for faults of libraries, one file for each fault.

Each docstring names the library and version, the fault with its upstream issue where there is one, the workaround,
and how to see that the file can go. Owns no table. Entry points: `install` or `ignore`, called by `worker.app`, and
classes named in `worker.broker`. May import `smsclick` and the library concerned, and nothing of `worker`.

Invariant: without the fault, a workaround changes nothing. Where a fault can be shown, a test shows it.

Decision: docs/decisions/0035-whatever-a-broker-answers.md.
"""
