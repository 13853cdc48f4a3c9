"""What the shop answers."""

from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from shop.models import Order, Product
from smsclick.django import enqueue
from smsclick.errors import InvalidMessage


@csrf_exempt
@require_POST
def place(request: HttpRequest) -> JsonResponse:
    """Place an order: with the commit the message is there, without it it is not."""
    quantity = int(request.POST["quantity"])
    try:
        with transaction.atomic():
            order = Order.objects.create(product_id=int(request.POST["product"]), quantity=quantity)
            enqueue(
                phone=request.POST["phone"],
                text=f"Recibimos tu pedido {order.pk}, ¡gracias!",
                key=f"django-order-{order.pk}:placed",
            )
            Product.objects.filter(pk=order.product_id).update(stock=F("stock") - quantity)
    except InvalidMessage as error:
        return JsonResponse({"error": str(error)}, status=422)
    except IntegrityError:
        return JsonResponse({"error": "out of stock"}, status=409)
    return JsonResponse({"order": order.pk}, status=201)
