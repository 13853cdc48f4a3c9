"""The transport of `sendMsg` on an event loop: thousands of calls in flight, each proven as strictly as in `_http`.

Entry point: `transport.AsyncTransport`. `pool` lends connections and bounds how many are opened at once, `connecting`
opens one (name, TCP, proxy, TLS), `connection` makes one exchange on it, `answer` parses the answer with httptools,
`tls` is the TLS of a socket that this package reads and writes itself.

Invariant: a request is given to a socket at most once, by a `send()` of this package directly after the check of
`not_after`, so no buffer of an event loop lies between the check and the system call. `never_left` is True only if
that call was not made. Errors stop here, because they could carry the request. Everything runs on the thread of one
event loop; only names are resolved on another thread.

May import `smsclick._net`, `_http` (requests, reasons, records) and the values of `smsclick.provider`. It needs
httptools, which producers do not install: only `smsclick.provider.async_sender` imports it.
Decision: docs/decisions/0055; what each fault leads to: docs/fault-matrix.md.
"""
