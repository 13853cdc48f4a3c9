"""The page of a filtered set begins before its messages are counted: a count may take long, the page does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.factories import insert
from tests.page import signed_in
from tests.processes import wait_until
from worker.operator.access.users import Role

if TYPE_CHECKING:
    from tests.api_server import Api

pytestmark = pytest.mark.parametrize("database", ["postgres"], indirect=True)

WAITING = sa.text(
    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    " AND query LIKE '%smsclick_messages%'"
)


def counting_backend(site: Api) -> int | None:
    # In a transaction of its own: within one, PostgreSQL goes on showing what it showed first.
    with site.database.read() as connection:
        found: int | None = connection.scalar(WAITING)
        return found


@pytest.mark.parametrize("lost", [False, True])
def test_the_page_begins_while_its_set_is_counted_and_ends_with_the_number(site: Api, lost: bool) -> None:  # noqa: FBT001
    visitor = signed_in(site.url, site.database, Role.OPERATOR)
    insert(site.database, 3, reference="spring")
    with site.database.engine.connect() as other, other.begin() as transaction:
        other.execute(sa.text("LOCK TABLE smsclick_messages IN ACCESS EXCLUSIVE MODE"))
        answer = visitor.get("/operar/conjunto", params={"act": "cancel", "reference": "spring"}, stream=True)
        parts = answer.iter_content(None)
        begun = next(parts).decode()
        assert answer.status_code == 200
        assert 'name="reference" value="spring"' in begun
        assert "Contando…" in begun
        assert "Mensajes que coinciden" not in begun
        counting = wait_until(lambda: counting_backend(site), what="the count")
        if lost:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": counting})
        else:
            transaction.rollback()
        rest = b"".join(parts).decode()
    assert ("La base de datos no responde" in rest) == lost
    assert ("Cancelar 3 mensajes" in rest) != lost
    assert rest.rstrip().endswith("</html>")
