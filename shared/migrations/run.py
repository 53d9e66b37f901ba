"""Run migrations against a database."""

from importlib import resources

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool


def migrate(database_url: str) -> str:
    """Bring the database to the newest schema, in one transaction; return its version.

    Safe to run from many places at once: an advisory lock lets one at a time through.
    Raises psycopg.OperationalError when Postgres cannot be reached.
    """
    config = Config()
    config.set_main_option("script_location", str(resources.files("shared.migrations")))
    # A creator instead of a URL: SQLAlchemy would parse libpq's URL by rules of its own.
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(database_url), poolclass=NullPool)
    config.attributes["engine"] = engine
    command.upgrade(config, "head")
    engine.dispose()
    return str(ScriptDirectory.from_config(config).get_current_head())
