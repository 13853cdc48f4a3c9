"""Django's settings, from the environment."""

import os
from typing import Any

import sqlalchemy as sa

_url = sa.make_url(os.environ["DATABASE_URL"])
_postgres: dict[str, Any] = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": _url.database,
    "USER": _url.username,
    "PASSWORD": _url.password,
    "HOST": _url.host,
    "PORT": _url.port,
}
_sqlite: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": _url.database}

DATABASES = {"default": _sqlite if _url.get_backend_name() == "sqlite" else _postgres}
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "shop.urls"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only for this example")
