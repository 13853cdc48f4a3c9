"""The page: what people see and do in a browser, on the server of the HTTP API.

- **Entry points**: `router.build` returns all routes; `answers.install` answers errors as pages.
- **Modules**: `now` (*Ahora*), `sign_in`, `people` (who is signed in, roles, the check of forms), `rendering`
  (templates and what each has), `words` with `spanish` and `english` (all texts), `masking` (what a role may see),
  `plots`, `numbers`, `static_files`; `messages` (*Mensajes*) and `operate` (*Operar*) are rooms of their own.
- **Owns** no table: `worker.operator.access.users` and `worker.operator.access.web_sessions` do.
- **May import** what `web` may. The calls of the API import nothing from here.
- **Invariant**: a route answers only who is signed in with the role that it names, and changes something only by a form
  with the session's own token; a viewer's page holds no full phone and no text; a page loads nothing from elsewhere.
- Decision: docs/decisions/0065 (the page).
"""
