"""FastAPI with an AsyncSession: an order and its message in one transaction.

```
export DATABASE_URL=postgresql+psycopg://… CELERY_BROKER_URL=redis://…    # or sqlite+aiosqlite:///shop.db
uvicorn examples.fastapi_shop:app
curl -X POST localhost:8000/orders -H 'Content-Type: application/json' \
    -d '{"product": 1, "quantity": 2, "phone": "55 5140 2211"}'
```

The tables of smsclick are in the same database: `alembic upgrade head` in its checkout.
"""

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from smsclick import enqueue
from smsclick.errors import InvalidMessage

engine = create_async_engine(os.environ["DATABASE_URL"])
Sessions = async_sessionmaker(engine)


class Base(DeclarativeBase):
    """The app's own tables."""


class Product(Base):
    """What is on the shelf; never less than nothing."""

    __tablename__ = "fastapi_products"
    __table_args__ = (sa.CheckConstraint("stock >= 0"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    stock: Mapped[int]


class Order(Base):
    """What was ordered."""

    __tablename__ = "fastapi_orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(sa.ForeignKey(Product.id))
    quantity: Mapped[int]


class NewOrder(BaseModel):
    """What a customer sends."""

    product: int
    quantity: int
    phone: str


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """The app's own tables are there while it runs."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with Sessions.begin() as session:
        if await session.get(Product, 1) is None:
            session.add(Product(id=1, stock=10))
    yield
    await engine.dispose()


async def in_transaction() -> AsyncIterator[AsyncSession]:
    """A session that commits when the request went well, before its answer is sent, and rolls back when not."""
    async with Sessions.begin() as session:
        yield session


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def order(
    new: NewOrder, session: Annotated[AsyncSession, Depends(in_transaction, scope="function")]
) -> dict[str, int]:
    """Place an order: with the commit the message is there, without it it is not."""
    placed = Order(product_id=new.product, quantity=new.quantity)
    session.add(placed)
    await session.flush()
    try:
        await session.run_sync(
            enqueue,
            phone=new.phone,
            text=f"Recibimos tu pedido {placed.id}, ¡gracias!",
            key=f"fastapi-order-{placed.id}:placed",
        )
        reduced = sa.update(Product).values(stock=Product.stock - placed.quantity)
        await session.execute(reduced.where(Product.id == placed.product_id))
    except InvalidMessage as error:
        raise HTTPException(422, str(error)) from None
    except IntegrityError:
        raise HTTPException(409, "out of stock") from None
    return {"order": placed.id}
