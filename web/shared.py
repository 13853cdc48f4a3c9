"""What a call may use of its process; `web.app` puts it there."""

from fastapi import Request

from smsclick._database.engine import Database
from smsclick.settings import Settings
from web.group_store import GroupStore


def database_of(request: Request) -> Database:
    """Return the database of this process."""
    database: Database = request.app.state.database
    return database


def settings_of(request: Request) -> Settings:
    """Return the settings of this process."""
    settings: Settings = request.app.state.settings
    return settings


def store_of(request: Request) -> GroupStore:
    """Return what stores new messages."""
    store: GroupStore = request.app.state.store
    return store
