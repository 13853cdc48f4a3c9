"""What the system gave up, for a person: callbacks that no receiver acknowledged, and calls that could not be messages.

- **Entry points**: `callbacks.latest`, `callbacks.again`, `calls.latest`, `calls.store`, `calls.drop`, for the page.
- **Owns** no table: `worker.callbacks` and `worker.intake` do. This package says which of their functions a page needs.
- **May import** what `worker.operator` may.
- **Invariant**: each act is bounded by the ids that it is given, and is in the audit with the person's name.
- Decision: docs/decisions/0061 (who did it).
"""
