"""Which account an attempt was made with: a fingerprint of the APIKEY, from which the key cannot be had.

The report of another account says nothing about an attempt, so each attempt keeps the fingerprint of its key.
"""

import functools
import hashlib


@functools.lru_cache(maxsize=8)
def fingerprint(api_key: str) -> str:
    """The fingerprint of a key, 16 hexadecimal digits.

    A slow hash, so that even a short key cannot be found by trying; the same key has the same one in every process.
    """
    return hashlib.scrypt(api_key.encode(), salt=b"smsclick.account", n=2**14, r=8, p=1, dklen=8).hex()
