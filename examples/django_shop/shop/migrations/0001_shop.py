"""Products and orders, and one product to order."""

from django.db import migrations, models


def stock_up(apps, _schema_editor):  # noqa: ANN001, ANN201, D103 - as Django calls it
    apps.get_model("shop", "Product").objects.create(id=1, stock=10)


class Migration(migrations.Migration):
    """The first."""

    initial = True
    operations = (
        migrations.CreateModel(
            name="Product",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("stock", models.IntegerField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("stock__gte", 0)), name="stock_not_negative")
                ],
            },
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("quantity", models.IntegerField()),
                ("product", models.ForeignKey(on_delete=models.deletion.PROTECT, to="shop.product")),
            ],
        ),
        migrations.RunPython(stock_up, migrations.RunPython.noop),
    )
