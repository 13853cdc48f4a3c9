"""The OpenAPI 3.1 description, made from the calls and models and completed here; `GET /openapi.json` answers it."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from web.bodies import ManyMessagesDescribed, OneMessage, Problem, Stored
from web.problems import MEDIA_TYPE, Kind

_REF: Final = "#/components/schemas/{model}"

ENQUEUE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        {"$ref": _REF.format(model="OneMessage")},
                        {"$ref": _REF.format(model="ManyMessagesDescribed")},
                    ]
                }
            }
        },
    },
    "responses": {
        "202": {
            "description": "Committed. Many messages: a list with one result or one problem for each.",
            "content": {
                "application/json": {
                    "schema": {
                        "anyOf": [
                            {"$ref": _REF.format(model="Stored")},
                            {
                                "type": "array",
                                "items": {
                                    "anyOf": [
                                        {"$ref": _REF.format(model="Stored")},
                                        {"$ref": _REF.format(model="Problem")},
                                    ]
                                },
                            },
                        ]
                    }
                }
            },
        }
    },
}


def answers(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return the description of a call's problems.

    Args:
        kinds: which ones it can have.
    """
    by_status: dict[int | str, list[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "description": "; ".join(f"{each.title} (`{each.uri}`)" for each in of_status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}},
        }
        for status, of_status in by_status.items()
    }


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the description of an application; made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description=app.description,
            routes=app.routes,
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in (OneMessage, ManyMessagesDescribed, Stored, Problem):
            schema = model.model_json_schema(ref_template=_REF)
            for name, part in schema.pop("$defs", {}).items():
                schemas.setdefault(name, part)
            schemas[model.__name__] = schema
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = made
    return app.openapi_schema
