"""The schema, as Alembic migrations of plain SQL. `python -m shared.migrations` brings a database up to date."""
