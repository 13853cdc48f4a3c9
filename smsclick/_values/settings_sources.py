"""Where a setting's value comes from: the environment, `.env`, or the file that `NAME_FILE` names.

Every setting has a `NAME_FILE` form, so that a secret need not be in the environment. Blanks, quotes and byte order
marks around a value, which editors, shells and Docker add, are removed. A value that cannot be read for certain becomes
a `Problem`, which shows nothing of the value.
"""

import codecs
import dataclasses
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from smsclick.errors import SettingsError

FILE: Final = "_FILE"
"""The ending of a variable that names a file with the value."""

ENV_FILE: Final = ".env"
_MOST_BYTES: Final = 64 * 1024
_QUOTES: Final = "\"'"
_BYTE_ORDER_MARKS: Final = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A value that cannot be read.

    Attributes:
        line: one line for a person, with the variable, what is wrong and what to do; nothing of the value.
    """

    line: str


class FromFile(str):
    """A value that was read from a file.

    Attributes:
        variable: the variable that names the file.
    """

    __slots__ = ("variable",)
    variable: str

    def __new__(cls, value: str, variable: str) -> Self:
        """Make one."""
        made = super().__new__(cls, value)
        made.variable = variable
        return made


class Layer(PydanticBaseSettingsSource):
    """The variables of one source. A source gives a setting by its variable or by a file, not by both."""

    def __init__(self, settings_cls: type[BaseSettings], given: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._given = given

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic's
        """Return the value, or None; the variable; and False: no value of ours is JSON."""
        variable = str(field.validation_alias)
        return value_of(variable, self._given), variable, False

    def __call__(self) -> dict[str, Any]:
        """Return the values of this source, by variable."""
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {variable: value for value, variable, _ in found if value is not None}


def value_of(variable: str, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an override may be of any type
    """Return a setting's value: None if it is not given, and a `Problem` if it cannot be read.

    Args:
        variable: the variable of the setting.
        given: all variables of one source.
    """
    direct, file = _plain(given.get(variable)), _plain(given.get(variable + FILE))
    if direct is not None and file is not None:
        return Problem(f"{variable}: {variable + FILE} is set as well; unset one of the two")
    if file is not None:
        return _checked(_read(variable, Path(str(file))), variable + FILE)
    return _checked(direct, variable)


def environment_file(variables: Iterable[str], path: Path | None = None) -> Mapping[str, str | None]:
    """Return the variables of `.env`; none if there is no such file.

    Args:
        variables: the names of our settings. An unreadable line is refused only if it has one of them, because the
            file may belong to other programs too.
        path: another file than `.env` in the working folder.

    Raises:
        SettingsError: the file, or a line of ours in it, cannot be read.
    """
    path = path or Path(ENV_FILE)
    try:
        # A folder with this name is a virtual environment.
        content = path.read_bytes() if path.is_file() or path.is_fifo() else b""
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); make it readable, or remove it") from None
    encoding, mark = _encoding(content)
    # Bytes that are not UTF-8 matter only in our own values: a comment may be in any encoding.
    text = content[len(mark) :].decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")
    if "\0" in text:
        raise SettingsError(f"{path}: holds NUL characters; save it in UTF-8")
    names = tuple(variables)
    for binding in parse_stream(io.StringIO(text)):
        if binding.error and any(name in binding.original.string for name in names):
            # It may begin with the empty lines before it.
            text = binding.original.string
            line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
            raise SettingsError(f"{path}: line {line} cannot be read; write NAME='value'")
    found = dotenv_values(stream=io.StringIO(text))
    return {name.upper(): value for name, value in found.items()}


def _encoding(content: bytes) -> tuple[str, bytes]:
    """Return the encoding that a byte order mark names, and the mark."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            # "utf-16" reads the order from the mark, and so it has to stay.
            return encoding, mark if encoding == "utf-8" else b""
    return "utf-8", b""


def _plain(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return a value without blanks and quotes around it; None if nothing is left, as compose makes it."""
    if not isinstance(value, str):
        return value
    value = value.strip().strip("\ufeff").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES:
        value = value[1:-1].strip()
    return value or None


def _read(variable: str, path: Path) -> str | Problem:
    name = variable + FILE
    # If somebody put the secret itself here, it must not be in a log.
    shown = str(path) if str(path).startswith(("/", "./", "../", "~/")) else "the file"
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "it is no path"
        return Problem(f"{name}: {shown} cannot be read ({why}); name a readable file that holds only the value")
    if len(content) > _MOST_BYTES:
        return Problem(f"{name}: {shown} has more than {_MOST_BYTES} bytes; it must hold only the value")
    encoding, mark = _encoding(content)
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError:
        return Problem(f"{name}: {shown} cannot be read (it is not in UTF-8); save it in UTF-8")
    value = _plain(text)
    if value is None:
        return Problem(f"{name}: {shown} is empty; it must hold the value of {variable}")
    return FromFile(value, name)


def _checked(value: Any, name: str) -> Any:  # noqa: ANN401 - as above
    """Return the value, or a `Problem` if it is surely a mistake."""
    if not isinstance(value, str):
        return value
    if "\0" in value:
        return Problem(f"{name}: holds NUL characters; save it in UTF-8")
    try:
        value.encode()
    except UnicodeEncodeError:
        return Problem(f"{name}: is not in UTF-8; save it in UTF-8")
    if value.startswith(f"{name.removesuffix(FILE)}="):
        return Problem(f"{name}: holds a name and a value; write the value alone")
    return value
