"""Alembic's entry: one transaction under an advisory lock."""

from alembic import context
from sqlalchemy import text

# Any constant of our own; it only has to be the same in every process that migrates.
_LOCK_KEY = 7_236_455_301

with context.config.attributes["engine"].connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        context.run_migrations()
