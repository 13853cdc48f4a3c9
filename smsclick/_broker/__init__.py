"""The address of the broker: check it, take it apart, and make the options that kombu needs for it.

Entry points: `urls.normalized` (is it usable?), `address.parse_broker` (parts and options), `tls` (how the broker is
verified). Pure: nothing connects here, and only the files of certificates are read. Owns no table.

May import `_net`. Invariants: no error shows a part of an address that may be a secret, and TLS is verified unless the
address says otherwise. Decision: docs/decisions/0044 (addresses as other libraries write them).
"""
