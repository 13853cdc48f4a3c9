"""A plain script: orders out of a CSV file, each with its message, in one transaction.

```
DATABASE_URL=postgresql+psycopg://… CELERY_BROKER_URL=redis://… python examples/plain_script.py orders.csv
```

The file has the columns order, phone and name. Run it twice: the keys make it the same messages.
"""

import csv
import os
import sys
from pathlib import Path

import sqlalchemy as sa

from smsclick import enqueue_many


def main(file: str) -> None:
    """Enqueue a message for each line, all of them or none."""
    engine = sa.create_engine(os.environ["DATABASE_URL"])
    with Path(file).open(encoding="utf-8", newline="") as lines, engine.begin() as connection:
        ids = enqueue_many(
            connection,
            (
                {
                    "phone": line["phone"],
                    "text": f"{line['name']}, tu pedido {line['order']} va en camino",
                    "key": f"order-{line['order']}:shipped",
                }
                for line in csv.DictReader(lines)
            ),
        )
    print(f"{len(ids)} messages enqueued")


if __name__ == "__main__":
    main(sys.argv[1])
