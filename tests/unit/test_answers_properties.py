"""Whatever the provider answers: nothing raises outside our tree, and nothing that carries `codigo` 1 is refused."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from smsclick.errors import ProviderError
from smsclick.provider._answers.balance import parse_credits
from smsclick.provider._answers.classification import classify_send
from smsclick.provider._answers.report import parse_report
from smsclick.provider._answers.status import parse_status
from smsclick.provider.results import Accepted, HttpAnswer, Refused, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

BATCHES, BODIES = 500, 200
"""100,000 bodies: hypothesis chooses the seed of a batch, and a seeded mutator makes its bodies: far faster."""

MEXICO = ZoneInfo("America/Mexico_City")
STATUSES = [*[200] * 12, 100, 201, 204, 302, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504, 599, 999]
ENCODINGS = ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-32", "utf-7", "cp037"]

# Objects are lists of pairs here, so that a name may come twice.
Pairs = list[tuple[str, Any]]


@dataclass(frozen=True)
class Obj:
    pairs: Pairs


def obj(**fields: object) -> Obj:
    return Obj(list(fields.items()))


SAMPLES = [
    obj(codigo=1, descripcion="Mensaje enviado", id_mensaje=123, creditosUsados=1),
    obj(codigo="1", descripcion="Mensaje enviado", id_mensaje="123", creditos_usados="2"),
    *(obj(codigo=code, descripcion="Parámetro no válido") for code in range(-105, -99)),
    obj(codigo=-104, descripcion="Saldo insuficiente", id_mensaje=None),
    obj(
        codigo=1,
        descripcion="ok",
        estatus_mensaje=1,
        telefono=5554542570,
        mensaje="Felicidades: Responde SI",
        fecha_envio="12-08-2017 17:34:56",
        respuesta="Si",
        fecha_respuesta="12-08-2017 17:40:41",
    ),
    *(obj(codigo=c, descripcion="no existe", estatus_mensaje=None, respuesta=None) for c in (-200, -201)),
    obj(
        codigo=1,
        descripcion="ok",
        mensajes=[
            obj(
                id_mensaje=123456,
                telefono=5548007276,
                mensaje="Responda SI, compra de $1,500",
                fecha_envio="12-08-2017 13:35:56",
                estatus_mensaje=1,
                nombre_campania="CAMPAÑA 2017",
                portafolio="TARJETAHABIENTES",
                fecha_respuesta="13-08-2017 15:35:56",
                respuesta_cliente="SI",
            )
        ],
    ),
    *(obj(codigo=code, descripcion="formato incorrecto", mensajes=None) for code in range(-303, -299)),
    obj(codigo=1, descripcion="ok", creditos=1200232),
]

NAMES = [
    *("codigo", "Codigo", "CODIGO", "código", "codigo_", " codigo", "codigo\x00", "cod\u0131go", "\uff43odigo", "code"),
    *("id_mensaje", "idMensaje", "ID_MENSAJE", "descripcion", "mensajes", "estatus_mensaje", "telefono", "mensaje"),
    *("fecha_envio", "respuesta", "creditos", "creditosUsados", "", "x" * 60),
]

ODD: list[Callable[[random.Random], object]] = [
    lambda rng: rng.choice([1, 1, "1", 1.0, True, " 1 ", "01", "+1", "\uff11", 0, -104, "-104", -104.0, None, False]),
    lambda rng: rng.choice([2**31, 2**63, -(2**63), 10**30, 1e308, -0.0, 1e-300, 5551402211, "5551402211"]),
    lambda rng: rng.choice(["", " ", "NULL", "null", "ñandú", "🙂", "\ud800", "\x00", "\u2028", "x" * 300]),
    lambda rng: rng.choice(["31-02-2017 00:00:00", "00-00-0000 00:00:00", "31-12-9999 23:59:59", "a-b-c d"]),
    lambda rng: rng.choice([[], [[]], Obj([]), [None, 1], obj(codigo=1), [obj(codigo=1, id_mensaje=9)]]),
    lambda rng: rng.choice(['{"codigo":1}', "codigo=1", "<codigo>1</codigo>", "Código: 1", '{\\"codigo\\": 1}']),
    lambda rng: "9" * rng.choice([7, 20, 5000]),
    lambda rng: rng.getrandbits(rng.choice([8, 40, 70])),
    lambda rng: rng.choice(SAMPLES),
]


def odd(rng: random.Random) -> object:
    return rng.choice(ODD)(rng)


def mutated(rng: random.Random, value: object) -> object:
    """Change something about a tree."""
    if isinstance(value, list) and value and rng.random() < 0.7:
        return [mutated(rng, value[0]), *value[1:], *([value[0]] if rng.random() < 0.2 else [])]
    if not isinstance(value, Obj) or not value.pairs or rng.random() < 0.1:
        return rng.choice([odd(rng), [value], Obj([(rng.choice(NAMES), value)])])
    pairs = list(value.pairs)
    at = rng.randrange(len(pairs))
    name, old = pairs[at]
    match rng.randrange(6):
        case 0:
            pairs[at] = (name, mutated(rng, old))
        case 1:
            pairs[at] = (rng.choice(NAMES), old)
        case 2:
            pairs.insert(at, (rng.choice(NAMES), odd(rng)))
        case 3:
            pairs.insert(at, (rng.choice([name, name.upper()]), odd(rng)))
        case 4:
            pairs += rng.choice(SAMPLES).pairs
        case _:
            del pairs[at]
    return Obj(pairs)


def written(rng: random.Random, value: object) -> str:
    """Write a tree as JSON, names twice and all."""
    if isinstance(value, Obj):
        colon = rng.choice([":", ": ", " : ", ":\n"])
        pairs = (f"{quoted(rng, name)}{colon}{written(rng, item)}" for name, item in value.pairs)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(rng, item) for item in value) + "]"
    return quoted(rng, value) if isinstance(value, str) else json.dumps(value)


def quoted(rng: random.Random, text: str) -> str:
    if rng.random() < 0.02:
        return '"' + "".join(f"\\u{ord(c):04x}" for c in text if ord(c) < 0x10000) + '"'
    return json.dumps(text, ensure_ascii=rng.random() < 0.5)


def scrambled(rng: random.Random, body: bytes) -> bytes:
    """Change something about bytes."""
    start, end = sorted(rng.randrange(len(body) + 1) for _ in range(2))
    match rng.randrange(10):
        case 0:
            return body[:end]
        case 1:
            return body[start:]
        case 2:
            return body[:start] + body[end:]
        case 3:
            return body[:end] + body[start:]
        case 4:
            return body[:start] + rng.randbytes(rng.randrange(1, 9)) + body[end:]
        case 5:
            return body[:start] + bytes([rng.choice(b'"{}[]:,\\01-\x00\xef\xff ')]) + body[start:]
        case 6:
            return b"<html><body>" + body + b"</body></html>"
        case 7:
            return body + rng.choice([body, b"\n", b"\x00", b"]}", b"<!-- x -->"])
        case 8:
            return json.dumps(body.decode("latin-1")).encode()
        case _:
            return b'"' + body.replace(b'"', b'""') + b'"'


def huge(rng: random.Random, body: bytes) -> bytes:
    size = rng.choice([1_000, 20_000, 200_000])
    return rng.choice(
        [
            b" " * size + body,
            body[:-1] + b', "x": "' + b"y" * size + b'"}',
            body[:-1] + b', "codigo": ' + b"1" * size + b"}",
            b"[" * size + body + b"]" * size,
            b'{"x":' * size + body + b"}" * size,
            b'{"codigo":-104, "x":' + b"[" * (size // 300) + body + b"]" * (size // 300) + b"}",
        ]
    )


def generated(rng: random.Random) -> bytes:
    """Make one body: a sample of the manual with things wrong about its tree, its bytes, encoding or size."""
    tree: object = rng.choice(SAMPLES)
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        tree = mutated(rng, tree)
    encoding = rng.choice(ENCODINGS) if rng.random() < 0.2 else "utf-8"
    body = written(rng, tree).encode(encoding, errors=rng.choice(["replace", "backslashreplace"]))
    for _ in range(rng.choice([0, 0, 1, 2])):
        body = scrambled(rng, body)
    return huge(rng, body) if rng.random() < 0.005 else body


_RAW_ONE = re.compile(r"c[oó]digo[\"'\\]*\s*[:=>]\s*[\"'\\]*\s*1(?![0-9.eE])", re.IGNORECASE)


def carries_code_1(body: bytes) -> bool:
    """Say whether a body shows `codigo` 1 anywhere: in its bytes, or in what JSON makes of them.

    This looks at the body in its own way, not in the classifier's.
    """
    text = body.decode("utf-8", errors="replace")
    unescaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    if _RAW_ONE.search(text) or _RAW_ONE.search(unescaped):
        return True
    found = False

    def look(pairs: Pairs) -> None:
        nonlocal found
        found |= any(name.casefold().strip() == "codigo" and item in (1, "1") for name, item in pairs)

    try:
        json.loads(text, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return False
    return found


def check_send(body: bytes, status: int) -> type:
    """Check how a send with this answer is classified."""
    result = classify_send(HttpAnswer(status, body))
    match result:
        case Accepted():
            assert 0 < result.id_mensaje < 2**63
            assert carries_code_1(body), body
        case Refused():
            assert not carries_code_1(body), body
            assert result.code not in (None, 1), body
            assert result.reason
            assert 200 <= status < 300 or (400 <= status < 500 and status not in (408, 429)), status
        case Unknown():
            assert result.reason
    if not isinstance(result, Unknown):
        assert len(result.description) <= 200
        assert result.description.isprintable(), body
        assert not re.search(r"\d{7}", result.description), body
    return type(result)


def check_queries(body: bytes, status: int) -> None:
    """Check that reading the body as data raises nothing but our own errors, and these without the body."""
    for parse in (parse_status, parse_report, lambda answer, _: parse_credits(answer)):
        try:
            parse(HttpAnswer(status, body), MEXICO)
        except ProviderError as error:
            assert error.__context__ is None  # noqa: PT017  (both outcomes are right)


def test_100_000_odd_bodies_raise_nothing_and_none_with_code_1_is_refused() -> None:
    counts: dict[type, int] = {}

    @settings(
        max_examples=BATCHES,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a smaller seed is no simpler batch; the failing body is in the assertion
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64 - 1))
    def take_a_batch(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(BODIES):
            body, status = generated(rng), rng.choice(STATUSES)
            kind = check_send(body, status)
            counts[kind] = counts.get(kind, 0) + 1
            check_queries(body, status)

    take_a_batch()
    assert sum(counts.values()) >= 100_000
    assert min(counts[kind] for kind in (Accepted, Refused, Unknown)) > 1_000, counts  # each is truly met


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(STATUSES))
def test_any_bytes_raise_nothing(body: bytes, status: int) -> None:
    check_send(body, status)
    check_queries(body, status)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([1, "1", -104]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(_JSON, st.sampled_from(STATUSES))
def test_any_json_raises_nothing(tree: object, status: int) -> None:
    body = json.dumps(tree).encode()
    check_send(body, status)
    check_queries(body, status)
