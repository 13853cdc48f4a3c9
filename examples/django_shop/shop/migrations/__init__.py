"""The shop's own tables; smsclick's are Alembic's."""
