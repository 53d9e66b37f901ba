"""The job engine: a queue of leased, fenced jobs in Postgres, and the wake-ups around it."""
