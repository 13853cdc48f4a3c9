"""Which addresses a setting may hold. Each check raises `ValueError` with what is wrong, without the address."""

import re

from smsclick._net import urls


def check_base(url: str) -> None:
    """Raise `ValueError` where the provider's endpoints cannot live at this address."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
        raise ValueError("must be an address without blanks, user, ? and #")


def check_proxy(url: str) -> None:
    """A proxy for the calls to the provider."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https:// (there is no way through a SOCKS proxy)")
    urls.check(url)
    if not re.fullmatch(r"https?://([!-~]*@)?[^\s/?#@]+/?", url):
        raise ValueError("must be the address of a proxy and its port, without blanks and path")


def check_heartbeat(url: str) -> None:
    """An address that is asked for; its path and query may hold a secret."""
    if not re.fullmatch(r"https?://[!-~]+", url):
        raise ValueError("must be an address that starts with http:// or https://, without blanks")
    urls.check(url)


def check_runbook(url: str) -> None:
    """A folder of pages."""
    if not re.fullmatch(r"https?://[^\s?#@]+", url):
        raise ValueError("must be the address under which runbook.md lies, without blanks, user, ? and #")
