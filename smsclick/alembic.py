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
    """Whether Alembic looks at something that it finds in the database: at all but the tables of smsclick.

    An `include_name` of `context.configure`. Indexes, constraints and triggers go with their tables. With a filter of
    your own: `lambda *found: include_name(*found) and mine(*found)`.

    Args:
        name: of what was found.
        type_: `table`, `schema`, `column`, …
        parent_names: of what it belongs to.
    """
    return type_ != "table" or not is_ours(name)


def is_ours(name: str | None) -> bool:
    """Whether a table is smsclick's; Alembic's version table of smsclick is."""
    return (name or "").startswith(_PREFIX)
