"""Bring the database at TABLEMILL_DATABASE_URL to the newest schema."""

import os
import sys

from shared.migrations.run import migrate

if __name__ == "__main__":
    url = os.environ.get("TABLEMILL_DATABASE_URL", "")
    if not url or len(sys.argv) > 1:
        sys.exit("Usage: TABLEMILL_DATABASE_URL=postgresql://… python -m shared.migrations")
    sys.stdout.write(f"The schema is at version {migrate(url)}\n")
