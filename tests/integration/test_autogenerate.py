"""A backend's own `alembic revision --autogenerate` in our database: it sees its own tables, and leaves ours alone."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import Migrate, migrate
from flask_migrate import init as init_flask
from flask_sqlalchemy import SQLAlchemy

from smsclick.alembic import include_name
from smsclick.contract import VERSION_TABLE, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS = {*metadata.tables, VERSION_TABLE}

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("shop_orders", metadata, sa.Column("id", sa.Integer, primary_key=True))
"""


@pytest.fixture
def logs_kept() -> Iterator[None]:
    """Alembic's templates configure the logging of the whole process."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


def dropped(script: str) -> set[str]:
    """The tables that a migration's upgrade drops."""
    upgrade = script.partition("def upgrade")[2].partition("def downgrade")[0]
    return set(re.findall(r"op\.drop_table\('(\w+)'", upgrade))


def made(script: str) -> set[str]:
    """The tables that it makes."""
    upgrade = script.partition("def upgrade")[2].partition("def downgrade")[0]
    return set(re.findall(r"op\.create_table\('(\w+)'", upgrade))


def test_on_each_database_the_filter_leaves_out_ours_and_nothing_else(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    theirs = sa.MetaData()
    sa.Table("shop_orders", theirs, sa.Column("id", sa.Integer, primary_key=True))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE shop_gone (id INTEGER PRIMARY KEY)"))
        found = {}
        for name, options in (("with", {"include_name": include_name}), ("without", {})):
            context = MigrationContext.configure(connection, opts={"target_metadata": theirs, **options})
            changes = compare_metadata(context, theirs)
            found[name] = {(change[0], getattr(change[1], "name", "")) for change in changes}
    engine.dispose()
    assert found["with"] == {("add_table", "shop_orders"), ("remove_table", "shop_gone")}
    assert {name for what, name in found["without"] if what == "remove_table"} == {*OURS, "shop_gone"}


@pytest.mark.parametrize("template", ["generic", "async"])
def test_a_generated_migration_of_alembics_own_templates_drops_nothing_of_ours(
    template: str, migrated_sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs_kept: None
) -> None:
    (tmp_path / "shop_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = alembic.config.Config(str(tmp_path / "alembic.ini"))
    config.set_main_option("script_location", str(tmp_path / "shop"))
    alembic.command.init(config, str(tmp_path / "shop"), template=template)
    driver = "sqlite+aiosqlite" if template == "async" else "sqlite"
    config.set_main_option("sqlalchemy.url", migrated_sqlite_url.replace("sqlite", driver, 1))
    env = tmp_path / "shop" / "env.py"
    plain = env.read_text().replace("target_metadata = None", "from shop_models import metadata as target_metadata")
    recipe = plain.replace(
        "target_metadata=target_metadata", "target_metadata=target_metadata, include_name=include_name"
    )
    recipe = "from smsclick.alembic import include_name\n" + recipe
    assert recipe.count("include_name=include_name") == 2

    scripts = {}
    for name, text in (("with", recipe), ("without", plain)):
        env.write_text(text)
        alembic.command.revision(config, name, autogenerate=True)
        [script] = (tmp_path / "shop" / "versions").glob("*.py")
        scripts[name] = script.read_text()
        script.unlink()
    sys.modules.pop("shop_models", None)
    assert (made(scripts["with"]), dropped(scripts["with"])) == ({"shop_orders"}, set())
    assert (made(scripts["without"]), dropped(scripts["without"])) == ({"shop_orders"}, OURS)
    assert "smsclick" not in scripts["with"]


@pytest.mark.filterwarnings("ignore:'get_engine' is deprecated:DeprecationWarning")  # of Flask-Migrate's own template
def test_a_generated_migration_of_flask_migrate_drops_nothing_of_ours(
    migrated_sqlite_url: str, tmp_path: Path, logs_kept: None
) -> None:
    scripts = {}
    for name in ("with", "without"):
        app = Flask(name)
        app.config["SQLALCHEMY_DATABASE_URI"] = migrated_sqlite_url
        shop = SQLAlchemy(app)
        sa.Table("shop_orders", shop.metadata, sa.Column("id", sa.Integer, primary_key=True))
        folder = str(tmp_path / name)
        if name == "with":
            Migrate(app, shop, directory=folder, include_name=include_name)
        else:
            Migrate(app, shop, directory=folder)
        with app.app_context():
            init_flask()
            migrate(message=name)
            shop.engine.dispose()
        [scripts[name]] = [each.read_text() for each in (tmp_path / name / "versions").glob("*.py")]
    assert (made(scripts["with"]), dropped(scripts["with"])) == ({"shop_orders"}, set())
    assert (made(scripts["without"]), dropped(scripts["without"])) == ({"shop_orders"}, OURS)
