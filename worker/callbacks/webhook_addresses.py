"""Which addresses a callback may go to: hosts that the settings name, and public IP addresses only.

The address of a webhook is data that somebody else wrote, so it may name a machine of the company's own network or a
cloud's metadata service. Pure; the decision is docs/decisions/0018.
"""

import dataclasses
import ipaddress

from smsclick._values.callback import WebhookTarget
from worker.alerting.wording import DetailCode
from worker.callbacks.failures import CallFailedError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(each)
    for each in (
        "192.0.0.0/24",  # protocol assignments; clouds have services there, and older Pythons call it global
        "::/96",  # IPv4-compatible, and with it :: and ::1
        "64:ff9b:1::/48",  # NAT64 of a local network
        "2001::/23",  # protocol assignments; among them Teredo, which carries any IPv4 address
        "2002::/16",  # 6to4, which carries any IPv4 address
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local, deprecated
    )
)


class RefusedAddressError(CallFailedError):
    """The webhook may not be called."""


@dataclasses.dataclass(frozen=True, slots=True)
class AddressRules:
    """Which webhooks may be called.

    Attributes:
        hosts: Names, or `*.example.com` for every name below it, each perhaps with a port; empty: any host.
        allow_private: Whether private addresses are allowed, and addresses without TLS.
    """

    hosts: tuple[str, ...] = ()
    allow_private: bool = False

    def check_target(self, target: WebhookTarget) -> None:
        """Check the host and the scheme of a webhook.

        Args:
            target: Where it is.

        Raises:
            RefusedAddressError: One of them is not allowed.
        """
        if not target.secure and not self.allow_private:
            raise RefusedAddressError(DetailCode.CALL_NOT_HTTPS)
        if self.hosts and not any(_is_named(target, each) for each in self.hosts):
            raise RefusedAddressError(DetailCode.CALL_NOT_NAMED)

    def allows(self, address: str) -> bool:
        """Whether an IP address may be connected to."""
        return self.allow_private or is_public(address)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public Internet.

    Args:
        address: IPv4 or IPv6. An IPv4 address that an IPv6 address contains is judged itself.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    if any(ip in network for network in _REFUSED_NETWORKS):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _is_named(target: WebhookTarget, name: str) -> bool:
    """Whether an entry of SMSCLICK_WEBHOOK_HOSTS allows this host. An entry with a port allows only that port."""
    host, colon, port = name.rpartition(":")
    if not colon or ":" in host:
        host = name  # none, or an IPv6 address
    elif port != str(target.port):
        return False
    return target.host.endswith(host[1:]) if host.startswith("*.") else target.host == host
