"""The table of what people write: every setting, in every form, as editors, shells and Docker leave it.

Each is read as it was meant, counts as not set, or is refused in one line that names the variable and shows nothing of
the value.
"""

from __future__ import annotations

import codecs
import dataclasses
import enum
import os
import re
from typing import TYPE_CHECKING, Final

import certifi
import pytest

from smsclick.errors import SettingsError
from smsclick.settings import Settings, load_settings
from worker.alerting import delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

MARK: Final = "tezontle8a5c"

# Every value that may be a secret holds the mark. A setting that is not here takes its declared example.
VALUES: Final[Mapping[str, str]] = {
    "SMSCLICK_API_KEY": MARK,
    "SMSCLICK_BASE_URL": "https://example.com/sms-services",
    "SMSCLICK_TIMEZONE": "America/Tijuana",
    "DATABASE_URL": f"postgresql+psycopg://u:{MARK}@h/d",
    "CELERY_BROKER_URL": f"redis://:{MARK}@h/1",
    "ALERT_URLS": f"json://u:{MARK}@example.com/sms",
    "SMSCLICK_CALLBACK": f"celery:app.{MARK}@queue",
    "SMSCLICK_WEBHOOK_ALLOW_PRIVATE": "true",
    "SMSCLICK_CA_BUNDLE": certifi.where(),
    "SMSCLICK_HEARTBEAT_URL": f"https://hc.example.com/{MARK}",
    "SMSCLICK_PROXY": f"http://u:{MARK}@proxy.example.com:3128",
}
FIELDS: Final = {str(field.validation_alias): name for name, field in Settings.model_fields.items()}


class Outcome(enum.Enum):
    """How a value ends."""

    READ = enum.auto()
    UNSET = enum.auto()
    REFUSED = enum.auto()


READ, UNSET, REFUSED = Outcome


@dataclasses.dataclass(frozen=True)
class Writing:
    """A way to write a value, and how it ends in each form; None: the form cannot hold it."""

    write: Callable[[str, str], bytes]
    environment: Outcome | None
    env_file: Outcome | None
    file: Outcome | None


def _utf16(mark: bytes, encoding: str) -> Callable[[str, str], bytes]:
    return lambda _, value: mark + value.encode(encoding)


WRITINGS: Final[Mapping[str, Writing]] = {
    "plain": Writing(lambda _, value: value.encode(), READ, READ, READ),
    "byte order mark": Writing(lambda _, value: codecs.BOM_UTF8 + value.encode(), READ, READ, READ),
    "UTF-16": Writing(_utf16(codecs.BOM_UTF16_LE, "utf-16-le"), None, READ, READ),
    "UTF-16 of the other order": Writing(_utf16(codecs.BOM_UTF16_BE, "utf-16-be"), None, READ, READ),
    "UTF-16 without a mark": Writing(_utf16(b"", "utf-16-le"), None, REFUSED, REFUSED),
    "UTF-32": Writing(lambda _, value: value.encode("utf-32"), None, REFUSED, REFUSED),
    "a line end": Writing(lambda _, value: f"{value}\n".encode(), READ, READ, READ),
    "a line end of Windows": Writing(lambda _, value: f"{value}\r\n".encode(), READ, READ, READ),
    "blanks around": Writing(lambda _, value: f" \t{value} ".encode(), READ, READ, READ),
    "a hard blank behind": Writing(lambda _, value: f"{value}\u00a0".encode(), READ, READ, READ),
    "double quotes": Writing(lambda _, value: f'"{value}"'.encode(), READ, READ, READ),
    "single quotes": Writing(lambda _, value: f"'{value}'\n".encode(), READ, READ, READ),
    "a mark, quotes and a line end": Writing(lambda _, value: f"\ufeff'{value}'\r\n".encode(), READ, READ, READ),
    "empty": Writing(lambda *_: b"", UNSET, UNSET, REFUSED),
    "blank": Writing(lambda *_: b" \t ", UNSET, UNSET, REFUSED),
    "empty quotes": Writing(lambda *_: b'""', UNSET, UNSET, REFUSED),
    "a NUL behind": Writing(lambda _, value: f"{value}\0".encode(), None, REFUSED, REFUSED),
    "Latin-1": Writing(lambda _, value: f"{value}ñ".encode("latin-1"), REFUSED, REFUSED, REFUSED),
    "with its name": Writing(lambda name, value: f"{name}={value}".encode(), REFUSED, REFUSED, REFUSED),
}


def value_of(variable: str) -> str:
    """A value that can be used."""
    declared = Settings.model_fields[FIELDS[variable]].examples or ["1"]
    return VALUES.get(variable, str(declared[0]))


def load(variable: str, **overrides: str) -> object:
    """What a process makes of a setting, wherever it is looked at."""
    found = load_settings(**overrides)
    delivery.channels(found.alert_urls.get_secret_value())
    return found.require_api_key() if variable == "SMSCLICK_API_KEY" else getattr(found, FIELDS[variable])


def line_of(problem: SettingsError, variable: str) -> str:
    """The one line, which names the variable and shows no value."""
    line = str(problem)
    assert re.match(rf"(?:{variable}(?:_FILE)?|\.env): ", line), line
    assert "\n" not in line
    assert "unexpected" not in line
    assert MARK not in line
    assert problem.__cause__ is None
    return line


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _environment(variable: str, content: bytes, folder: Path) -> Iterator[None]:
    (folder / ".env").unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, os.fsdecode(content))
        yield


def _env_file(variable: str, content: bytes, folder: Path) -> Iterator[None]:
    encoding = "utf-8"
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF8, "")):
        if content.startswith(mark):
            content, encoding = content.removeprefix(mark), name or "utf-8"
            break
    else:
        mark = b""
    start, end = (f"# from a template\n{variable}=".encode(encoding), "\nOTHER=1\n".encode(encoding))
    (folder / ".env").write_bytes(mark + start + content + end)
    yield


def _file(variable: str, content: bytes, folder: Path) -> Iterator[None]:
    (folder / ".env").unlink(missing_ok=True)
    (folder / "secret").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"{variable}_FILE", str(folder / "secret"))
        yield


FORMS: Final = {"environment": _environment, "env_file": _env_file, "file": _file}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("variable", FIELDS)
def test_every_setting_in_every_form_and_writing(variable: str, form: str, tmp_path: Path) -> None:
    wanted = load(variable, **{variable: value_of(variable)})
    default = None if variable == "SMSCLICK_API_KEY" else getattr(load_settings(), FIELDS[variable])
    for name, writing in WRITINGS.items():
        outcome: Outcome | None = getattr(writing, form)
        if outcome is None:
            continue
        content = writing.write(variable, value_of(variable))
        for _ in FORMS[form](variable, content, tmp_path):
            if outcome is READ:
                assert load(variable) == wanted, name
            elif outcome is UNSET and variable != "SMSCLICK_API_KEY":
                assert load(variable) == default, name
            else:
                with pytest.raises(SettingsError) as refused:
                    load(variable)
                line_of(refused.value, variable)


@pytest.mark.parametrize("form", ["environment", "env_file", "file"])
# A path is no secret and is shown.
@pytest.mark.parametrize("variable", sorted(set(FIELDS) - {"SMSCLICK_API_KEY", "SMSCLICK_CA_BUNDLE"}))
def test_what_is_no_value_of_a_setting_is_refused(variable: str, form: str, tmp_path: Path) -> None:
    for content in (f"{MARK} {MARK}!", f'"{MARK}', f"nowhere://{MARK}", f"{MARK}\n{MARK}"):
        if form == "env_file" and content.startswith('"'):
            continue  # its own test is below
        for _ in FORMS[form](variable, content.encode(), tmp_path):
            if form == "env_file" and "\n" in content:
                continue  # two lines of the file
            with pytest.raises(SettingsError) as refused:
                load(variable)
            line_of(refused.value, variable)


@pytest.mark.parametrize("variable", FIELDS)
@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("{folder}/none", "cannot be read (No such file or directory)"),
        ("{folder}", "cannot be read (Is a directory)"),
        ("/dev/zero", "has more than"),
        ("~nobody-of-this-name/x", "cannot be read"),
        (MARK, "the file cannot be read"),
        (f"postgresql://u:{MARK}@h/d", "the file cannot be read"),
        ("x" * 5000, "cannot be read (File name too long)"),
    ],
)
def test_a_file_that_cannot_be_read(variable: str, path: str, says: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"{variable}_FILE", path.format(folder=tmp_path))
        with pytest.raises(SettingsError) as refused:
            load(variable)
    assert says in line_of(refused.value, variable)


@pytest.mark.parametrize("variable", FIELDS)
def test_a_variable_and_its_file_are_one_too_many(variable: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(value_of(variable))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, value_of(variable))
        patch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))
        with pytest.raises(SettingsError) as refused:
            load(variable)
        assert f"{variable}_FILE is set as well" in line_of(refused.value, variable)
        patch.setenv(variable, "")  # as a compose file leaves it
        assert load(variable) == load(variable, **{variable: value_of(variable)})


def test_the_environment_outranks_a_file_that_env_file_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL_FILE=/nowhere/at/all\n")
    monkeypatch.setenv("DATABASE_URL", VALUES["DATABASE_URL"])
    assert load_settings().database_url == VALUES["DATABASE_URL"]


def test_a_producer_needs_no_readable_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSCLICK_API_KEY_FILE", "/run/secrets/of-the-worker-alone")
    assert load_settings().sweep_seconds == 5


# --- .env


@pytest.mark.parametrize(
    "line", ['DATABASE_URL="postgresql://u:{0}@h/d', "DATABASE_URL: '{0}'", "$env:DATABASE_URL {0}"]
)
def test_a_line_of_ours_that_cannot_be_read_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"# a template\n\n{line.format(MARK)}\n")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert line_of(refused.value, "DATABASE_URL") == ".env: line 3 cannot be read; write NAME='value'"


def test_the_rest_of_the_file_may_be_another_programs(tmp_path: Path) -> None:
    content = "# contraseña\nNAME=\u00f1\nsomething else\nSMSCLICK_SWEEP_SECONDS=7\n"
    (tmp_path / ".env").write_bytes(content.encode("latin-1"))
    assert load_settings().sweep_seconds == 7


def test_a_folder_of_that_name_is_a_virtual_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert load_settings().sweep_seconds == 5
