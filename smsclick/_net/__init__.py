"""Addresses, certificates and deadlines, for everything that opens a connection or shows where one leads.

`urls` and `hosts` check addresses and show them without secrets, `certificates` makes the TLS context that verifies the
other side, `deadline` reads an HTTP answer within a time. Owns no table, opens no connection itself, and imports
nothing else of `smsclick`. Invariant: no text that comes from here contains a user, a password or a query.
Decisions: docs/decisions/0044 (URLs of other libraries), 0046 (proxy and certificates).
"""
