"""One POST to the provider: the request, the connection, the deadline, and what a failure proves.

Entry point: `transport.Transport`; `request` builds what it sends. A call has one of two ends: `HttpAnswer` or
`TransportFailure`, both values of `smsclick.provider.results`. Errors of requests and urllib3 stop here, because they
carry the request and with it the key.

Invariant: a request is handed to a socket at most once, not one byte of it after `not_after`, and `never_left` is True
only if the connection has proven that (`call_record`). May import `smsclick._net`, the values of `smsclick.provider`
and `_answers.dates`. Decision: docs/decisions/0046; what each fault leads to: docs/fault-matrix.md.
"""
