"""Records and uploads: the business facts in Postgres. No job state lives here."""
