"""*Operar*: what an operator does to many messages at once, to the account, and to the lists beside the messages.

- **Entry points**: `routes.routers`, for `web.pages.router`; `spanish.TEXTS` and `english.TEXTS` for `web.pages.words`.
- **Modules**: `holding` (hold and resume), `filtered` (acts on a filtered set), `importing` (files of messages),
  `opt_outs`, `given_up` (callbacks), `refused_calls` (dead letters), `access` (users and tokens), `sealed` (what a form
  brings back unchanged), `uploads` (files that a form sends).
- **May import** what `web.pages` may. It calls the functions of `worker.operator`, as the commands do.
- **Invariant**: every route is for operators; an act on many things is counted before, is confirmed by a form that
  names the number, works for some seconds a request, and is in the audit with the person's name.
- Decision: docs/decisions/0068 (files in the form, long acts in steps).
"""
