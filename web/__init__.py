"""`smsclick web`: the HTTP API, and in `pages` the page for people, over the same functions as the commands.

- **Entry points**: `app.create` builds the ASGI application; `server.serve` runs it; `commands` is the command.
- **Modules**: `bodies` (what comes in and goes out), `messages`, `account`, `probes` (the calls), `problems` (errors),
  `authentication` (tokens), `group_store` (many requests in one commit), `limits` (size and rate), `description`
  (OpenAPI); `pages` is a room of its own.
- **Owns** no table. It calls the functions of `worker.operator` and `smsclick._enqueue`, as the commands do.
- **May import** `smsclick` and `worker.operator`; nothing imports `web`, and the wheel does not hold it.
- **Invariant**: an answer 202 is given after the commit and never before; an error has a problem's documented type and
  no word of a driver, a phone, a text or a token.
- Decision: docs/decisions/0064 (the API's framework, and one commit for many requests).
"""
