"""Who may use `smsclick web`: tokens of the HTTP API, users of the page and their sessions.

- **Entry points**: `tokens`, `users`, `web_sessions`; the commands `smsclick token` and `smsclick user` call them.
- **Owns** the tables `smsclick_tokens`, `smsclick_users` and `smsclick_web_sessions`.
- **May import** what its neighbours in `worker.operator` may, and `argon2` for passwords.
- **Invariant**: no secret is stored, only hashes; the database's clock ends sessions; each change is in the audit.
"""
