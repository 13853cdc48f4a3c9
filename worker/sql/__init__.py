"""SQL that several rooms need, written once.

Owns the tables `smsclick_heartbeats` (`heartbeat`) and `smsclick_audit` (`audit`). Entry points: `bulk` writes many
rows in one statement, `now` reads the database's clock, `insert_once` inserts a row that another process may be
inserting too, `readable` reads what can be read of rows that are odd. May import `smsclick` only, nothing else of
`worker`.

Invariant: no function here commits a transaction that it was given.
"""
