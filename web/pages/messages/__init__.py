"""*Mensajes*: look for messages, see one with what it waits for, and act on it.

- **Entry points**: `listing.router` (the list and the search), `one.router` (a message's page and its acts).
- **Modules**: `shown` (what of a message a role may see), `timeline` (events in words), `possible` (which acts a state
  allows), `spanish` and `english` (texts, joined with the page's).
- **Owns** no table. It calls `worker.operator`.
- **May import** what `web.pages` may.
- **Invariant**: a phone stands in no address; a viewer gets no full phone, no text and no act; an act is carried out
  only where the message is as its form showed it, and is on record with the person's name.
- Decision: docs/decisions/0066 (what it waits for), 0065 (the page).
"""
