"""Why a line of a file is refused, in Spanish: every reason that the import can give has its words there."""

from __future__ import annotations

import ast
import io
from typing import TYPE_CHECKING, Final

import pytest

from smsclick._importing.records import Problem
from smsclick._importing.rows import read_rows
from smsclick.errors import KeyConflict
from tests.processes import ROOT
from web.pages.operate.reasons import in_language

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES: Final = (
    "_enqueue/message.py", "_importing/files.py", "_importing/records.py", "_values/callback.py", "_values/phones.py",
    "_values/texts.py",
)  # fmt: skip
RAISED: Final = {"InvalidPhone", "InvalidText", "InvalidTime", "InvalidField"}
SAMPLES: Final = {
    "hint": "",
    "_values/texts.py why": "is empty",
    "why": "the file is in two encodings at once",
    "which": " 'x'",
    "'is empty' if value == '' else mask_phone(value) + ' is not a number'": "is empty",
}
"""What stands in a reason that is put together; anything else is a number or a name."""

NEVER_OF_A_LINE: Final = {"key: is empty; give the key that the message was enqueued with"}


def reasons() -> Iterator[str]:
    for source in SOURCES:
        for node in ast.walk(ast.parse((ROOT / "smsclick" / source).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = node.args[0] if node.func.id in RAISED else node.args[1] if node.func.id == "Problem" else None
                match given:
                    case ast.Constant(str(text)):
                        yield text
                    case ast.JoinedStr(parts):
                        yield "".join(_sample(source, part) for part in parts)


def _sample(source: str, part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        name = ast.unparse(part.value)
        return SAMPLES.get(f"{source} {name}", SAMPLES.get(name, "7"))
    assert isinstance(part, ast.Constant)
    return str(part.value)


def test_each_reason_in_the_code_has_its_words_in_spanish() -> None:
    found = set(reasons()) - NEVER_OF_A_LINE
    assert len(found) > 40
    assert {each for each in found if in_language(each, "es").language != "es"} == set()
    assert {each for each in found if in_language(each, "en") != (each, "en")} == set()
    conflict = in_language(str(KeyConflict("a", 7)), "es")
    assert conflict.text.startswith("la clave 'a' ya es del mensaje 7, que")
    assert in_language("not known here", "es") == ("not known here", "en")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("123,Hola", "el teléfono … no es un número mexicano: escriba diez dígitos, por ejemplo"),
        (",Hola", "falta phone: cada mensaje necesita"),
        ("5551402211,Hola,x", "3 campos donde el encabezado tiene 2; ponga entre comillas"),
        (f"5551402211,{'x' * 5000}", "el texto tiene 5000 caracteres: redúzcalo a"),
        ('5551402211,"Hola', "una comilla no se cierra"),
    ],
)
def test_a_bad_line_says_in_spanish_what_is_wrong(line: str, said: str) -> None:
    [row] = read_rows(io.BytesIO(f"phone,text\n{line}\n".encode()))
    assert isinstance(row, Problem)
    assert in_language(row.reason, "es").text.startswith(said)
