"""TLS in `DATABASE_URL`: the parameters of several libraries become one `sslmode`, which is never weaker."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tls(enum.IntEnum):
    """How a connection is protected, from the weakest to the strongest."""

    DISABLE = 0
    ALLOW = 1
    PREFER = 2
    REQUIRE = 3
    VERIFY_CA = 4
    VERIFY_FULL = 5

    @property
    def word(self) -> str:
        """Return libpq's word, which we use for every database."""
        return self.name.lower().replace("_", "-")


_TLS_WORDS: Final[Mapping[str, Tls]] = {
    "disable": Tls.DISABLE,
    "disabled": Tls.DISABLE,
    "allow": Tls.ALLOW,
    "prefer": Tls.PREFER,
    "preferred": Tls.PREFER,
    "require": Tls.REQUIRE,
    "required": Tls.REQUIRE,
    "no-verify": Tls.REQUIRE,
    "verify-ca": Tls.VERIFY_CA,
    "verify-full": Tls.VERIFY_FULL,
    "verify-identity": Tls.VERIFY_FULL,
}
_YES, _NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_FLAGS: Final = frozenset({"ssl_check_hostname", "ssl_verify_cert", "ssl_verify_identity", "ssl_disabled"})
TLS_PARAMETERS: Final = _FLAGS | {"ssl", "sslmode"}
_AUTHORITY: Final = frozenset({"ssl_ca", "ssl_capath"})

Parameters = dict[str, str | tuple[str, ...]]
"""By name; several values if a parameter is given several times."""


def add_libpq_tls(found: Parameters, given: Mapping[str, str]) -> None:
    for name in _FLAGS & set(given):
        raise ValueError(f"has {name}, which is MySQL's: write sslmode=verify-full")
    mode = _asked(given)
    if mode is not None:
        found["sslmode"] = mode.word
    if given.get("ssl", "").lower() in _YES and "sslrootcert" not in found:
        # With ssl=true, people expect the system's authorities.
        found["sslrootcert"] = "system"


def add_mysql_tls(found: Parameters, given: Mapping[str, str]) -> None:
    flags = {name: _flag(name, given[name]) for name in _FLAGS & set(given)}
    asked = _asked(given)
    mode = _implied(found, flags) if asked is None else asked
    if mode is Tls.REQUIRE and _AUTHORITY & set(found):
        mode = Tls.VERIFY_CA  # as in MySQL's own programs
    if flags.pop("ssl_disabled", False):
        if mode is not None:
            raise ValueError("asks for TLS and with ssl_disabled for none")
        mode = Tls.DISABLE
    if mode is not None:
        found["sslmode"] = _with_flags(mode, flags, is_asked=asked is not None).word


def _asked(given: Mapping[str, str]) -> Tls | None:
    """Return the strictest mode that is asked for."""
    return max((_tls(name, given[name]) for name in ("sslmode", "ssl") if name in given), default=None)


def _implied(found: Parameters, flags: Mapping[str, bool]) -> Tls | None:
    if _AUTHORITY & set(found):
        return Tls.VERIFY_FULL
    if {"ssl_cert", "ssl_key", "ssl_cipher"} & set(found) or set(flags) - {"ssl_disabled"}:
        return Tls.REQUIRE
    return None


def _with_flags(mode: Tls, flags: Mapping[str, bool], *, is_asked: bool) -> Tls:
    if flags.get("ssl_verify_cert"):
        mode = max(mode, Tls.VERIFY_CA)
    if flags.get("ssl_verify_identity") or flags.get("ssl_check_hostname"):
        mode = max(mode, Tls.VERIFY_FULL)
    weaker = {"ssl_verify_cert": Tls.REQUIRE, "ssl_verify_identity": Tls.VERIFY_CA, "ssl_check_hostname": Tls.VERIFY_CA}
    for name, most in weaker.items():
        if flags.get(name) is False and mode > most:
            if is_asked:
                raise ValueError(f"asks for more with sslmode than with {name}")
            mode = most
    return mode


def _tls(name: str, value: str) -> Tls:
    word = value.lower().replace("_", "-")
    if name == "ssl" and word in _YES:
        return Tls.VERIFY_FULL
    if name == "ssl" and word in _NO:
        return Tls.DISABLE
    if word not in _TLS_WORDS:
        raise ValueError(f"has a {name} that is none of {', '.join(each.word for each in Tls)}")
    return _TLS_WORDS[word]


def _flag(name: str, value: str) -> bool:
    if value.lower() not in _YES | _NO:
        raise ValueError(f"has a {name} that is neither true nor false")
    return value.lower() in _YES
