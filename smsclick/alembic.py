"""For a backend's own Alembic: leave smsclick's tables out of `--autogenerate`, which would drop them otherwise.

```python
from smsclick.alembic import include_name

context.configure(connection=connection, target_metadata=target_metadata, include_name=include_name)
```
"""

from collections.abc import Mapping

__all__ = ["include_name"]

_PREFIX = "smsclick_"


def include_name(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:  # noqa: ARG001
    """Return whether Alembic compares an object of the database: False only for the tables of smsclick.

    Pass it as `include_name` of `context.configure`. Indexes, constraints and triggers follow their tables. To combine
    it with a filter of your own: `lambda *found: include_name(*found) and mine(*found)`.

    Args:
        name: the name of the object.
        type_: `table`, `schema`, `column`, …
        parent_names: the names of the objects that contain it.
    """
    return type_ != "table" or not is_ours(name)


def is_ours(name: str | None) -> bool:
    """Return whether a table belongs to smsclick; its version table of Alembic does too."""
    return (name or "").startswith(_PREFIX)
