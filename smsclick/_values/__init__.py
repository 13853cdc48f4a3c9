"""Values with rules of their own, each parsed and checked in one place.

`phones` (ten digits, masking), `texts` (what may be sent, predicted credits), `times` (ISO 8601, durations), `zones`
(the time zones of an area code), `quiet_hours`, `callback` (a task or a webhook), `settings_sources` (the origin of
settings), `refusals` (why an input is refused, as codes).

Pure, apart from `settings_sources`, which reads `.env` and files. Owns no table. May import `errors` only. Invariants:
no error shows a whole phone, a text or a secret, and a value that can be read in two ways is refused, not guessed.
"""
