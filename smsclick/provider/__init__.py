"""SMSClick's API for one account: what is sent to the provider, and what its answers mean.

Public are `client` (`SmsclickClient`, the four calls), `async_sender` (`AsyncSender`, one of them with thousands in
flight), `results` (what a call ends with), `codes` (every `codigo` and `estatus_mensaje` of the manual, as data),
`failures` (the kinds of a call without an answer), `clock` (the clock of `not_after`) and `account_client` (both as the
settings describe them). Behind them, `_http` and `_async_http` make a request and `_answers` reads what comes back;
none of the three is for other packages.

Invariant: nothing here retries, stores or logs, and neither the key nor a text leaves in an error. Owns no table. May
import `smsclick.errors`, `smsclick._net` and `smsclick._values`, never `worker`; only `account_client` reads settings.
Nothing is imported here, because `smsclick.errors` needs `codes` and the client needs `smsclick.errors`.
Decisions: docs/decisions/0046 (proxy, certificates, redirects), 0028 (echoes), 0012 (reports as streams), 0055.
"""
