"""TLS contexts that verify the other side, and one line about why TLS failed."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

NOT_ACCEPTED: Final = "certificate was not accepted"
"""How the reason of every refused certificate begins, after whose it is."""

_REASONS: Final = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "no authority signed it",
    19: "nobody here knows its authority",
    20: "nobody here knows its authority",
    21: "nobody here knows its authority",
    62: "it names another host",
    64: "it names another address",
}
"""The reason of each of OpenSSL's verify codes (X509_V_ERR_…)."""


def context(bundle: str | Path | None = None) -> ssl.SSLContext:
    """Return a TLS context that verifies the other side's certificate and host name.

    Args:
        bundle: A file of certificates in PEM that are trusted instead of the usual authorities.

    Raises:
        ValueError: The file cannot be read or holds no certificate; the text says which.
    """
    if bundle is None:
        from requests.utils import DEFAULT_CA_BUNDLE_PATH  # noqa: PLC0415 - settings are read where no request is made

        return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    try:
        made = ssl.create_default_context(cafile=str(bundle))
    except ssl.SSLError:
        raise ValueError(f"{bundle} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from None
    except OSError as error:
        raise ValueError(f"{bundle} cannot be read ({error.strerror or type(error).__name__})") from None
    if not made.cert_store_stats()["x509"]:
        raise ValueError(f"{bundle} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
    return made


def why(error: ssl.SSLCertVerificationError) -> str:
    """Return why a certificate was not accepted, without the names in it.

    Args:
        error: Of OpenSSL.
    """
    return _REASONS.get(error.verify_code, f"OpenSSL's code {error.verify_code}")


def tls_reason(error: BaseException) -> str | None:
    """Return why TLS failed, if an error or one of its causes says that it did.

    Args:
        error: Any exception.

    Returns:
        One line without names, or None if TLS did not fail.
    """
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its {NOT_ACCEPTED}: {why(found)}"
        if isinstance(found, ssl.SSLError):
            return f"TLS failed: {_TLS_REASONS.get(found.reason or '', found.reason or type(found).__name__)}"
        found = found.__cause__ or found.__context__
    return None


_TLS_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "what answers there speaks no TLS",
    "RECORD_LAYER_FAILURE": "what answers there speaks no TLS",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it asks for a certificate of ours",
}
