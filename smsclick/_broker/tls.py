"""TLS to the broker: what its address says of it, in the words of each of kombu's transports.

`rediss://`, `amqps://` and Sentinels with `ssl=true` are verified, certificate and host name, unless the address says
otherwise. Kombu by itself verifies nothing of Redis and no host name of RabbitMQ.
"""

from __future__ import annotations

import dataclasses
import ssl
from typing import TYPE_CHECKING, Any, Final

from smsclick._net import certificates

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES: Final = {
    "ssl_cert_reqs": "reqs",
    "verify": "reqs",
    "ssl_ca_certs": "ca",
    "cacertfile": "ca",
    "ssl_certfile": "certificate",
    "certfile": "certificate",
    "ssl_keyfile": "key",
    "keyfile": "key",
    "ssl_check_hostname": "names",
}
"""Redis' words, and RabbitMQ's for the same."""

_REQS: Final = {"none": False, "verify_none": False, "required": True, "verify_peer": True, "optional": True}
_YES: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    """How the broker is verified, and what we show it.

    Attributes:
        verify: whether its certificate must be of a known authority.
        names: whether its certificate must name the host of the address.
        ca: a file of certificates that are trusted too (Redis) or instead of the system's (RabbitMQ).
        certificate: a file with a certificate of ours, where the broker asks for one.
        key: its key.
    """

    verify: bool = True
    names: bool = True
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def unverified(self) -> str | None:
        """What is not verified, in words; None where all is."""
        if not self.verify:
            return "TLS is not verified (ssl_cert_reqs=none): whoever is in between can read phones and texts"
        if not self.names:
            return "TLS does not verify the host's name (ssl_check_hostname=false)"
        return None

    def for_redis(self) -> dict[str, Any]:
        """The arguments of redis' connections."""
        given = {"ssl_ca_certs": self.ca, "ssl_certfile": self.certificate, "ssl_keyfile": self.key}
        return {
            "ssl_cert_reqs": ssl.CERT_REQUIRED if self.verify else ssl.CERT_NONE,
            "ssl_check_hostname": self.verify and self.names,
            **{name: value for name, value in given.items() if value},
        }

    def for_amqp(self, host: str) -> dict[str, Any]:
        """The arguments of amqp's transport; it verifies the name only where one is given."""
        given = {"ca_certs": self.ca, "certfile": self.certificate, "keyfile": self.key}
        given["server_hostname"] = host if self.verify and self.names else None
        return {
            "cert_reqs": ssl.CERT_REQUIRED if self.verify else ssl.CERT_NONE,
            **{name: value for name, value in given.items() if value},
        }

    def require_files(self) -> None:
        """Raise where a file cannot be used.

        Raises:
            ValueError: one line that names it.
        """
        try:
            if self.ca:
                certificates.context(self.ca)
            if self.certificate:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(self.certificate, self.key)
        except ssl.SSLError:
            raise ValueError(f"{self.certificate} and {self.key} are not a certificate and its key in PEM") from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ValueError(f"{self.certificate} or {self.key} cannot be read ({why})") from None


def take(query: Sequence[tuple[str, str]]) -> tuple[Tls | None, list[tuple[str, str]]]:
    """Take out of an address' parameters what they say of TLS.

    Returns:
        That, or None where they say nothing, and the other parameters.

    Raises:
        ValueError: a value cannot be understood.
    """
    given = {_NAMES[name]: value for name, value in query if name in _NAMES and value}
    rest = [(name, value) for name, value in query if name not in _NAMES]
    if unknown := [name for name, _ in rest if name.startswith("ssl_")]:
        raise ValueError(f"does not know {unknown[0]}=; TLS takes {', '.join(n for n in _NAMES if n[:4] == 'ssl_')}")
    if not given:
        return None, rest
    reqs = given.pop("reqs", "required").lower().removeprefix("cert_")
    if reqs not in _REQS:
        raise ValueError("has an ssl_cert_reqs that is neither required nor none")
    names = given.pop("names", "true").lower()
    if names not in _YES:
        raise ValueError("has an ssl_check_hostname that is neither true nor false")
    return Tls(verify=_REQS[reqs], names=_YES[names], **given), rest


def switch(value: str) -> bool:
    """Whether `ssl=` of an address turns TLS on.

    Raises:
        ValueError: it says neither.
    """
    if value.lower() not in _YES:
        raise ValueError("has an ssl= that is neither true nor false")
    return _YES[value.lower()]
