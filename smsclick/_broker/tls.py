"""TLS to the broker: the parameters of its address, as arguments of kombu's transports.

`rediss://`, `amqps://` and Sentinels with `ssl=true` are verified, certificate and host name, unless the address says
otherwise. By default kombu verifies neither the certificate of Redis nor the host name of RabbitMQ.
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
"""The parameters of Redis and of RabbitMQ, with our name for each."""

_REQS: Final = {"none": False, "verify_none": False, "required": True, "verify_peer": True, "optional": True}
_YES: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    """How the broker is verified, and how we identify ourselves.

    Attributes:
        verify: whether the broker's certificate must be signed by a known authority.
        names: whether the broker's certificate must name the host of the address.
        ca: a file of certificates that are trusted too (Redis), or instead of those of the system (RabbitMQ).
        certificate: a file with our own certificate, for a broker that asks for one.
        key: a file with the key of our certificate.
    """

    verify: bool = True
    names: bool = True
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def unverified(self) -> str | None:
        """Return what is not verified, in words; None if everything is verified."""
        if not self.verify:
            return "TLS is not verified (ssl_cert_reqs=none): whoever is in between can read phones and texts"
        if not self.names:
            return "TLS does not verify the host's name (ssl_check_hostname=false)"
        return None

    def for_redis(self) -> dict[str, Any]:
        """Return the arguments of a connection of Redis' client."""
        given = {"ssl_ca_certs": self.ca, "ssl_certfile": self.certificate, "ssl_keyfile": self.key}
        return {
            "ssl_cert_reqs": ssl.CERT_REQUIRED if self.verify else ssl.CERT_NONE,
            "ssl_check_hostname": self.verify and self.names,
            **{name: value for name, value in given.items() if value},
        }

    def for_amqp(self, host: str) -> dict[str, Any]:
        """Return the arguments of amqp's transport; it verifies the host name only if it gets one."""
        given = {"ca_certs": self.ca, "certfile": self.certificate, "keyfile": self.key}
        given["server_hostname"] = host if self.verify and self.names else None
        return {
            "cert_reqs": ssl.CERT_REQUIRED if self.verify else ssl.CERT_NONE,
            **{name: value for name, value in given.items() if value},
        }

    def require_files(self) -> None:
        """Check that the files can be used.

        Raises:
            ValueError: a file cannot be used; one line names it.
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


def split_tls(query: Sequence[tuple[str, str]]) -> tuple[Tls | None, list[tuple[str, str]]]:
    """Separate the parameters of TLS from the other parameters of an address.

    Returns:
        How to verify, or None if no parameter says so; and the other parameters.

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
    """Return whether `ssl=` of an address switches TLS on.

    Raises:
        ValueError: the value is neither true nor false.
    """
    if value.lower() not in _YES:
        raise ValueError("has an ssl= that is neither true nor false")
    return _YES[value.lower()]
