"""Django with its own ORM: an order and its message in one transaction.atomic.

```
export DATABASE_URL=postgresql://… CELERY_BROKER_URL=redis://…    # or sqlite:///shop.db
python examples/django_shop/manage.py migrate
python examples/django_shop/manage.py runserver
curl -X POST localhost:8000/orders -d product=1 -d quantity=2 -d phone='55 5140 2211'
```

The tables of smsclick are in the same database: `alembic upgrade head` in its checkout.
"""

import os

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    execute_from_command_line()
