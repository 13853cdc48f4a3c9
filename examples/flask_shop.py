"""Flask with Flask-SQLAlchemy: an order and its message in one transaction.

```
export DATABASE_URL=postgresql+psycopg://… CELERY_BROKER_URL=redis://…
flask --app examples.flask_shop run
curl -X POST localhost:5000/orders -d product=1 -d quantity=2 -d phone='55 5140 2211'
```

The tables of smsclick are in the same database: `alembic upgrade head` in its checkout.
"""

import os
from typing import Any

import sqlalchemy as sa
from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from smsclick import enqueue
from smsclick.errors import InvalidMessage


class Base(DeclarativeBase):
    """The app's own tables."""


class Product(Base):
    """What is on the shelf; never less than nothing."""

    __tablename__ = "flask_products"
    __table_args__ = (sa.CheckConstraint("stock >= 0"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    stock: Mapped[int]


class Order(Base):
    """What was ordered."""

    __tablename__ = "flask_orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(sa.ForeignKey(Product.id))
    quantity: Mapped[int]


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app, model_class=Base)

with app.app_context():
    db.create_all()
    if db.session.get(Product, 1) is None:
        db.session.add(Product(id=1, stock=10))
    db.session.commit()


@app.post("/orders")
def order() -> tuple[dict[str, Any], int]:
    """Place an order: with the commit the message is there, without it it is not."""
    placed = Order(product_id=int(request.form["product"]), quantity=int(request.form["quantity"]))
    db.session.add(placed)
    db.session.flush()
    try:
        enqueue(
            db.session,
            phone=request.form["phone"],
            text=f"Recibimos tu pedido {placed.id}, ¡gracias!",
            key=f"flask-order-{placed.id}:placed",
        )
        reduced = sa.update(Product).values(stock=Product.stock - placed.quantity)
        db.session.execute(reduced.where(Product.id == placed.product_id))
        db.session.commit()
    except InvalidMessage as error:
        db.session.rollback()
        return {"error": str(error)}, 422
    except IntegrityError:
        db.session.rollback()
        return {"error": "out of stock"}, 409
    return {"order": placed.id}, 201
