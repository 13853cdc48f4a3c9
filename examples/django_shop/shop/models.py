"""The app's own tables."""

from django.db import models


class Product(models.Model):
    """What is on the shelf; never less than nothing."""

    stock = models.IntegerField()

    class Meta:
        """The database sees to it."""

        constraints = (models.CheckConstraint(condition=models.Q(stock__gte=0), name="stock_not_negative"),)


class Order(models.Model):
    """What was ordered."""

    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.IntegerField()
